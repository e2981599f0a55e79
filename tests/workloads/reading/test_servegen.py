"""Requests drawn from ServeGen's clients: the same for a seed, as many as the rates say, each client apart."""

import hashlib
import io
import json
import random
import tarfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.command_line import warpgroup

from warpgroup.cli.experiments import experiment_from, replicate
from warpgroup.cli.options import Options
from warpgroup.errors import InvalidScenario, InvalidTrace
from warpgroup.workloads import Trace, head, read_trace
from warpgroup.workloads.reading import servegen, servegen_clients, servegen_files
from warpgroup.workloads.reading.servegen_clients import Window

POISSON = "Gamma,1.0,5.0"
IDLE = "0,0,,0,0"
HOUR = [f"{600 * i},0.5,1,{POISSON}" for i in range(6)]


def lengths(prompt: str = "{10: 1.0}", output: str = "{5: 1.0}") -> dict[str, str]:
    return {"input_tokens": prompt, "output_tokens": output}


def add(folder: Path, number: int, windows: list[str], dataset: object = None) -> Path:
    """One client more, as ServeGen writes them; without a dataset, its prompts have as many tokens as its number."""
    folder.mkdir(exist_ok=True)
    dataset = {"0": lengths(f"{{{number}: 1.0}}")} if dataset is None else dataset
    (folder / f"chunk-{number}-trace.csv").write_bytes("".join(f"{line}\r\n" for line in windows).encode())
    (folder / f"chunk-{number}-dataset.json").write_text(json.dumps(dataset))
    return folder


def packed(path: Path, members: dict[str, bytes], mode: str = "w:gz", **kind) -> Path:
    with tarfile.open(path, mode) as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            for key, value in kind.items():
                setattr(member, key, value)
            archive.addfile(member, io.BytesIO(content))
    return path


def of_folder(folder: Path) -> dict[str, bytes]:
    return {f"language/{folder.name}/{each.name}": each.read_bytes() for each in folder.iterdir()}


def rows(trace: Trace) -> list[tuple[int, int, int]]:
    columns = trace.arrival_ns - trace.arrival_ns[0], trace.prompt_tokens, trace.output_tokens
    return list(zip(*(column.tolist() for column in columns), strict=True))


def accounted(path: Path, **options) -> Trace:
    trace = read_trace(path, **options)
    source = trace.source
    assert source.rows_read == source.kept + sum(source.dropped.values())
    assert source.kept == len(trace) > 0
    assert trace.arrival_ns[0] == 0
    assert (np.diff(trace.arrival_ns) >= 0).all()
    return trace


@pytest.fixture
def two(tmp_path) -> Path:
    add(tmp_path / "two", 1, HOUR)
    return add(tmp_path / "two", 2, [*HOUR[:3], f"1800,{IDLE}", *HOUR[4:]], {"0": lengths("{2: 0.5, 200: 0.5}")})


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_a_folder_and_an_archive_of_it_give_the_same(two, tmp_path, mode):
    folder, archive = accounted(two), accounted(packed(tmp_path / "two.tar.gz", of_folder(two), mode))
    assert rows(archive) == rows(folder)
    listing = [f"{hashlib.sha256(each.read_bytes()).hexdigest()}  {each.name}\n" for each in sorted(two.iterdir())]
    assert folder.source.sha256 == archive.source.sha256 == hashlib.sha256("".join(listing).encode()).hexdigest()
    assert (folder.name, folder.source.format, folder.has_times, folder.max_new_tokens) == (
        *("two", "servegen", True, 32_768),
    )
    assert folder.source.transforms == (
        "drawn from 2 clients, 0 s to 3600 s, prompts and outputs independently, seed 0",
    )


def test_a_seed_gives_the_same_trace_and_another_another(two):
    assert read_trace(two, seed=7).content_hash == read_trace(two, seed=7).content_hash
    assert read_trace(two, seed=7).content_hash != read_trace(two, seed=8).content_hash


def test_every_window_brings_what_its_rate_says(two):
    """600 s at 0.5 /s; one window is idle."""
    trace = read_trace(two, end_s=3600)
    first = trace.prompt_tokens == 1
    assert (first.sum(), (~first).sum()) == (6 * 300, 5 * 300)
    for start_s in range(0, 3600, 600):
        assert len(read_trace(two, start_s=start_s, end_s=start_s + 600)) == (300 if start_s == 1800 else 600)


@given(count=st.floats(0.01, 50), shape=st.floats(0.005, 1e6), kind=st.sampled_from(["Gamma", "Weibull"]))
def test_a_window_of_any_shape_keeps_to_its_rate_and_its_time(count, shape, kind):
    window = Window(1200.0, count / 600, kind, shape)
    for seed in range(3):
        times_ns = servegen._times_ns(window, np.random.default_rng(seed))
        assert abs(len(times_ns) - count) < 1
        assert ((times_ns >= 1200 * 10**9) & (times_ns < 1800 * 10**9)).all()


def test_what_is_no_whole_number_is_right_on_average():
    window = Window(0.0, 2.25 / 600, "Gamma", 1.0)
    counts = [len(servegen._times_ns(window, np.random.default_rng(seed))) for seed in range(2000)]
    assert np.mean(counts) == pytest.approx(2.25, abs=0.05)


@pytest.mark.parametrize(("kind", "shape", "cv"), [("Gamma", 4, 0.5), ("Gamma", 0.25, 2.0), ("Weibull", 0.5, 5**0.5)])
def test_gaps_keep_the_shape_of_their_window(kind, shape, cv):
    gaps = np.diff(np.sort(servegen._times_ns(Window(0.0, 50.0, kind, shape), np.random.default_rng(1))))
    assert gaps.std() / gaps.mean() == pytest.approx(cv, rel=0.05)
    assert gaps.mean() == pytest.approx(10**9 / 50, rel=0.01)


def test_bursts_are_anywhere_in_their_window():
    """Of a renewal that began at its start, nearly all would be there, and those of all clients at once."""
    window = Window(0.0, 10 / 600, "Gamma", 0.02)
    times_ns = [servegen._times_ns(window, np.random.default_rng(seed)) for seed in range(1500)]
    tenths = np.bincount(np.concatenate(times_ns) // (60 * 10**9), minlength=10) / 15_000
    assert len(tenths) == 10
    assert tenths == pytest.approx(np.full(10, 0.1), abs=0.03)


def test_clients_windows_prompts_and_outputs_are_drawn_apart(tmp_path):
    wide = lengths(str(dict.fromkeys(range(1, 1001), 1)), str(dict.fromkeys(range(1, 1001), 1)))
    for number in (1, 2):
        add(tmp_path / "c", number, [f"0,2,1,{POISSON}", f"600,2,1,{POISSON}"], {"0": wide})
    trace = read_trace(tmp_path / "c")
    assert len(trace) == 4 * 1_200
    assert len(np.unique(trace.arrival_ns % (600 * 10**9))) > 4_700
    assert abs(np.corrcoef(trace.prompt_tokens, trace.output_tokens)[0, 1]) < 0.05


def test_without_a_client_the_others_requests_are_as_they_were(two):
    both = read_trace(two)
    (two / "chunk-2-trace.csv").unlink()
    (two / "chunk-2-dataset.json").unlink()
    assert rows(both.at(np.flatnonzero(both.prompt_tokens == 1))) == rows(read_trace(two))


def test_another_span_is_a_part_of_the_same(two):
    """Also where its bounds cut a window."""
    whole, at = read_trace(two), 0
    for start_s, end_s in ((0, 700), (700, 2500), (2500, 9e9)):
        part = read_trace(two, start_s=start_s, end_s=end_s)
        assert rows(whole.at(np.arange(at, at + len(part)))) == rows(part)
        at += len(part)
    assert at == len(whole)


def test_times_count_from_the_first_window(tmp_path):
    late = add(tmp_path / "late", 1, [f"{86_400 + 600 * i},0.5,1,{POISSON}" for i in range(12)])
    assert len(read_trace(late)) == 6 * 300
    assert len(read_trace(late, start_s=6600)) == 300


def test_lengths_are_of_the_window_that_the_time_falls_in(tmp_path):
    """If that window has no lengths, those of the nearest earlier one count, or else of the nearest later one."""
    empty = lengths("{}", "{}")
    dataset = {"0": empty, "21600": lengths("{21: 1}"), "43200": empty, "64800": lengths("{64: 1}"), "86400": empty}
    windows = [f"{start},0.1,1,{POISSON}" for start in (0, 21_000, 21_600, 64_200, 64_800, 90_000)]
    trace = accounted(add(tmp_path / "c", 1, windows, dataset), end_s=1e6)
    assert trace.prompt_tokens.tolist() == 4 * 60 * [21] + 2 * 60 * [64]
    assert trace.source.repaired == {"lengths_empty_taken_from_another_window": 4 * 60}


def test_lengths_are_drawn_as_their_probabilities_say(two):
    trace = read_trace(two, end_s=3600)
    second = trace.prompt_tokens[trace.prompt_tokens > 1]
    assert (second == 200).mean() == pytest.approx(0.5, abs=0.05)


def test_without_lengths_a_client_is_left_out_and_its_rate_said(two):
    (two / "chunk-2-dataset.json").unlink()
    add(two, 3, HOUR, {"0": lengths("{}", "{}")})
    source = accounted(two).source
    assert (source.rows_read, source.dropped) == (1_800 + 3_300, {"client_without_lengths": 1_500 + 1_800})
    assert source.examples["client_without_lengths"] == "client 2: no dataset.json; 0.917 requests/s with 1 more"
    with pytest.raises(InvalidTrace, match="client_without_lengths"):
        read_trace(two, strict=True)


@pytest.mark.parametrize("dataset", [b"", b"[1]", b'{"a": 1}', b'{"nan": {}}', b"{}", b"\xff", b"[" * 100_000])
def test_a_dataset_that_cannot_be_read_is_as_none(two, dataset):
    (two / "chunk-2-dataset.json").write_bytes(dataset)
    source = accounted(two).source
    assert source.dropped == {"client_without_lengths": 1_500}
    assert "its dataset.json does not map windows to lengths" in source.examples["client_without_lengths"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("what is this", "window_not_readable"),
        ("3600,x,1,Gamma,1,5", "window_not_readable"),
        ("3600,0.5,1,Gamma,1,5,6", "window_not_readable"),
        ("nan,0.5,1,Gamma,1,5", "window_time_out_of_range"),
        ("-600,0.5,1,Gamma,1,5", "window_time_out_of_range"),
        ("1e300,0.5,1,Gamma,1,5", "window_time_out_of_range"),
        ("3000,0.5,1,Gamma,1,5", "window_overlaps_the_one_before"),
        ("3600,nan,1,Gamma,1,5", "window_rate_not_a_number"),
        ("3600,inf,1,Gamma,1,5", "window_rate_not_a_number"),
        ("3600,-1,1,Gamma,1,5", "window_rate_negative"),
        ("3600,0.5,1,Pareto,1,5", "window_of_unknown_distribution"),
        ("3600,0.5,1,,1,5", "window_of_unknown_distribution"),
        ("3600,0.5,1,Gamma,nan,5", "window_shape_out_of_range"),
        ("3600,0.5,1,Weibull,0,5", "window_shape_out_of_range"),
    ],
)
def test_a_window_that_cannot_be_used_is_counted_under_its_reason(tmp_path, line, reason):
    trace = accounted(add(tmp_path / "c", 1, [*HOUR, line, "", f"4200,0.5,1,{POISSON}"]), end_s=1e6)
    assert (trace.source.kept, trace.source.dropped) == (7 * 300, {reason: 1})
    assert trace.source.examples[reason].startswith("chunk-1-trace.csv row 7: '")


@pytest.mark.parametrize(
    ("literal", "reason"),
    [
        ("{}", "lengths_empty"),
        ("{ }", "lengths_empty"),
        ("{5: 0.0}", "lengths_empty"),
        ("{5: -0.1}", "lengths_negative"),
        ("{-5: 0.1}", "lengths_negative"),
        ("{5: nan}", "lengths_not_readable"),
        ("{5: 1e999}", "lengths_not_readable"),
        ("{5: 0.1: 6, 0.2}", "lengths_not_readable"),
        ("{5.5: 0.1}", "lengths_not_readable"),
        ("{5: 0.1, 007: 0.1}", "lengths_not_readable"),
        ("{5: __import__('os').abort()}", "lengths_not_readable"),
        ("[5, 0.1]", "lengths_not_readable"),
        ("{" + "5: 0.1, " * 600_000 + "6: 0.1}", "lengths_literal_too_long"),
        (None, "lengths_not_readable"),
    ],
)
def test_lengths_that_cannot_be_used_are_taken_from_another_window(tmp_path, literal, reason):
    dataset = {"0": {**lengths(), "output_tokens": literal}, "21600": lengths("{7: 1}", "{8: 1e0, 9: 0}")}
    trace = accounted(add(tmp_path / "c", 1, HOUR[:1], dataset))
    assert rows(trace)[0][1:] == (7, 8)
    assert trace.source.repaired == {f"{reason}_taken_from_another_window": 300}


def test_lengths_of_0_are_dropped_and_long_ones_clipped_as_of_any_format(tmp_path):
    folder = add(tmp_path / "c", 1, HOUR, {"0": lengths("{1: 1}", "{0: 1, 9: 1, 40000: 1}")})
    source = accounted(folder).source
    assert source.dropped == {"output_tokens_zero": pytest.approx(600, abs=100)}
    assert source.repaired == {"output_clipped_to_max_new_tokens": pytest.approx(600, abs=100)}
    kept = accounted(folder, zero_outputs="prefill-only", max_new_tokens=9)
    assert (len(kept), set(kept.output_tokens.tolist())) == (1_800, {1, 9})


def test_a_dataset_without_windows_is_counted(two):
    (two / "chunk-2-trace.csv").unlink()
    assert accounted(two).source.dropped == {"client_without_windows": 1}


FILES = {"c/chunk-1-trace.csv": f"0,0.5,1,{POISSON}\r\n".encode(), "c/chunk-1-dataset.json": b"{}"}
LINK = {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}


@pytest.mark.parametrize(
    ("members", "kind", "message"),
    [
        ({"../chunk-1-trace.csv": b""}, {}, "lies outside the archive"),
        ({"/c/other": b""}, {}, "lies outside the archive"),
        ({"c/chunk-1-trace.csv": b""}, LINK, "is a link or a device"),
        ({"c/other": b"7" * 1001}, {}, "'c/other' is larger than"),
        ({"c/chunk-1-trace.csv": b"7" * 1001}, {}, "is larger than"),
        ({f"c/{i}": b"7" * 900 for i in range(15)}, {}, "unpacks to more than 20,000 bytes"),
        ({f"c/{i}": b"" for i in range(16)}, {}, "has more than 15 members"),
        ({**FILES, "d/chunk-2-trace.csv": b""}, {}, "has clients of several workloads, in 'c' and 'd'"),
        ({**FILES, "c/chunk-01-trace.csv": b""}, {}, "client 1 has more than one trace.csv"),
        ({"c/chunk-1-trace.csv": b"version https://git-lfs.github.com/spec/v1"}, {}, "is a Git LFS pointer"),
        ({"c/requests.csv": b"1,2"}, {}, "has no client: expected ServeGen's"),
        ({"c/chunk-1-trace.csv": b"1\n" * 200}, {}, "chunk-1-trace.csv has more than 99 rows"),
        ({"c" * 600: b""}, {}, "is a damaged or truncated archive ('a header of 610 bytes')"),
        (FILES, {}, "holds no usable row: client_without_lengths 300"),
    ],
)
def test_an_archive_that_is_none_of_clients_is_refused_in_a_line(tmp_path, monkeypatch, members, kind, message):
    monkeypatch.setattr(servegen_files, "LARGEST_FILE_BYTES", 1000)
    monkeypatch.setattr(servegen_files, "LONGEST_HEADER_BYTES", 500)
    monkeypatch.setattr(servegen_files, "MOST_MEMBERS", 15)
    monkeypatch.setattr(servegen_clients, "MOST_ROWS", 99)
    with pytest.raises(InvalidTrace) as caught:
        read_trace(packed(tmp_path / "bad.tgz", members, **kind), unpacked_limit_bytes=20_000)
    assert message in str(caught.value)
    assert "bad.tgz" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_damaged_archives_are_refused_or_read_with_every_row_accounted_for(two, tmp_path):
    rng = random.Random(0)
    for mode in ("w", "w:gz"):
        whole = packed(tmp_path / "a", of_folder(two), mode).read_bytes()
        for _ in range(60):
            damaged = bytearray(whole[: rng.choice([len(whole), rng.randrange(100, len(whole))])])
            for _ in range(rng.randrange(4)):
                damaged[rng.randrange(len(damaged))] = rng.randrange(256)
            (tmp_path / "b").write_bytes(damaged)
            with suppress(InvalidTrace):
                accounted(tmp_path / "b")


def test_a_span_without_requests_or_with_too_many_is_refused(tmp_path):
    folder = add(tmp_path / "c", 1, [*HOUR, f"36000,1e300,1,{POISSON}", f"40000,0.1,1,{POISSON}"])
    with pytest.raises(InvalidTrace, match="no client sends a request from 7200 s to 10800 s"):
        read_trace(folder, start_s=7200)
    with pytest.raises(InvalidTrace, match="choose a shorter span"):
        read_trace(folder, end_s=40_000)
    for bounds in ({"start_s": -1}, {"end_s": 0}, {"start_s": 5, "end_s": 5}, {"end_s": float("nan")}):
        with pytest.raises(InvalidScenario, match="expected 0 <= start < end"):
            read_trace(folder, **bounds)
    with pytest.raises(InvalidTrace, match="max_new_tokens is 0"):
        read_trace(folder, max_new_tokens=0)


def test_another_seed_of_a_run_draws_other_requests(two):
    options = Options(trace=two, rate_scale=0.1)
    experiment = experiment_from(options)[0]
    other = replicate(experiment, options, 1)
    assert len(other.trace) == len(experiment.trace)
    assert set(other.trace.arrival_ns.tolist()) != set(experiment.trace.arrival_ns.tolist())
    assert other.trace.content_hash == experiment_from(replace(options, seed=1))[0].trace.content_hash


def test_a_user_takes_another_span_and_seed(two, tmp_path):
    done = warpgroup(
        *("trace", "convert", str(two), "-o", str(tmp_path / "t.parquet"), "--start-s", "600", "--end-s", "1200"),
        *("--seed", "5", "--head", "500"),
    )
    assert done.returncode == 0, done.stderr
    assert "drawn from 2 clients, 600 s to 1200 s, prompts and outputs independently, seed 5" in done.stderr
    converted = read_trace(tmp_path / "t.parquet")
    assert rows(converted) == rows(head(read_trace(two, start_s=600, end_s=1200, seed=5), 500))
    assert converted.source.format == "servegen"
