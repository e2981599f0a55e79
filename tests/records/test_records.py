"""The run folder: written whole or marked incomplete, read back as it was."""

import signal
from pathlib import Path
from shutil import copyfile, copytree

import msgspec
import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.experiments import experiment, trace

from warpgroup.csrc import parse_policy
from warpgroup.errors import InvalidRun, OutputRefused
from warpgroup.records import Run, claim_folder, read_info, read_run, write_run
from warpgroup.records.metrics import summarize
from warpgroup.reports.comparison.markdown import render_markdown
from warpgroup.reports.figures.request_timeline import request_timeline
from warpgroup.reports.figures.vram import used_curve
from warpgroup.reports.judging.study import Study
from warpgroup.sim import simulate
from warpgroup.workloads import with_arrivals


@pytest.fixture(scope="module")
def run() -> Run:
    rows = [(i * 1000, 20 + i % 50, 1 + i % 30) for i in range(60)]
    return simulate(experiment([*rows, (10**6, 900, 5)], kv_blocks=10), parse_policy("paged"))


def test_a_run_is_read_back_as_it_was_written(tmp_path, run):
    write_run(tmp_path, run)
    back = read_run(tmp_path)
    assert back.info == run.info
    for name in ("requests", "steps", "events"):
        written, read = getattr(run, name), getattr(back, name)
        assert list(written) == list(read)
        for column, values in written.items():
            assert np.array_equal(values, read[column]), column


def test_the_columns_that_others_rely_on_are_there(run):
    assert set(run.requests) >= set(
        "id arrival_ns prompt_tokens output_tokens max_new_tokens status reason admitted_ns first_token_ns finish_ns "
        "preemptions recomputed_tokens".split()
    )
    assert set(run.steps) >= set(
        "plan_ns start_ns duration_ns steps prefill_tokens decode_rows context_tokens kv_bytes vram_used_bytes "
        "vram_budget_bytes reserved_bytes predicted_bytes fragmented_bytes blocked_by waiting running ticket "
        "event".split()
    )
    assert set(run.events) >= {"t_ns", "request", "event", "bytes"}
    assert set(run.info.summary) >= set(
        "policy requests finished rejected failed aborted makespan_s total_tok_s output_tok_s goodput_req_s ttft_s "
        "tpot_s e2e_s itl_s wait_s slo ooms preemptions recompute_tax peak_vram_bytes vram_budget_bytes mean_kv_use "
        "padding_waste memory_bound_share running_mean running_max".split()
    )


def test_other_tools_see_words_and_not_codes(tmp_path, run):
    write_run(tmp_path, run)
    status = pq.read_table(tmp_path / "requests.parquet")["status"].to_pylist()
    assert (status[0], status[-1]) == ("finished", "rejected")


def test_run_json_has_sorted_keys_and_names_what_made_it(tmp_path, run):
    write_run(tmp_path, run)
    raw = msgspec.json.decode((tmp_path / "run.json").read_bytes())
    assert list(raw) == sorted(raw)
    assert {"warpgroup", "python", "numpy", "simpy"} <= set(raw["versions"])
    assert raw["complete"] is True


def test_a_run_that_was_cut_off_while_writing_never_looks_whole(tmp_path, run, monkeypatch):
    write = pq.write_table

    def full_disk(table, path, **options):
        if "steps" in str(path):
            raise OSError(28, "No space left on device")
        write(table, path, **options)

    monkeypatch.setattr(pq, "write_table", full_disk)
    with pytest.raises(OutputRefused, match="No space left on device"):
        write_run(tmp_path, run)
    assert read_info(tmp_path).complete is False
    with pytest.raises(InvalidRun, match="steps.parquet"):
        read_run(tmp_path)


def told(f: Path, change) -> None:
    """`run.json`, changed."""
    info = msgspec.json.decode((f / "run.json").read_bytes())
    change(info)
    (f / "run.json").write_bytes(msgspec.json.encode(info))


def without(f: Path, table: str, column: str) -> None:
    pq.write_table(pq.read_table(f / table).drop_columns([column]), f / table)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "run.json").unlink(), "has requests.parquet, but no run.json: run it again, or delete it"),
        (lambda f: (f / "run.json").write_text("{"), "is not a run record: Input data was truncated; run it again"),
        (lambda f: (f / "run.json").write_text("{}"), "is not a run record"),
        (lambda f: (f / "run.json").write_bytes(b'"\xff"'), "is not a run record"),
        (lambda f: told(f, lambda info: info.update(seed=0, summary={})), "its summary is not valid: Object missing"),
        (lambda f: told(f, lambda info: info.update(policy="best")), "policy 'best' is unknown to this version"),
        (lambda f: told(f, lambda info: info.update(policy="a\nb")), r"policy 'a\nb' is unknown to this version"),
        (
            lambda f: told(f, lambda info: info.update(kind="guessed")),
            "Invalid enum value 'guessed' - at `$.kind`; run",
        ),
        (lambda f: told(f, lambda info: info["scenario"]["memory"].update(budget_bytes=0)), "budget_bytes"),
        (lambda f: (f / "steps.parquet").write_bytes(b"PAR1"), "(8 bytes); run it again"),
        (lambda f: (f / "steps.parquet").unlink(), "steps.parquet is missing; run it again"),
        (lambda f: copyfile(f / "requests.parquet", f / "steps.parquet"), "steps.parquet has no column step, steps,"),
        (lambda f: without(f, "requests.parquet", "finish_ns"), "requests.parquet has no column finish_ns; run it"),
    ],
)
def test_a_damaged_run_is_refused_in_one_line(tmp_path, run, damage, message):
    write_run(tmp_path, run)
    damage(tmp_path)
    with pytest.raises(InvalidRun) as caught:
        read_run(tmp_path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_is_no_folder_of_a_run(tmp_path, run):
    write_run(tmp_path, run)
    with pytest.raises(InvalidRun, match=r"run\.json is a file: expected the folder of a run, here .*$"):
        read_run(tmp_path / "run.json")


@pytest.fixture(scope="module")
def folders(tmp_path_factory, run) -> list[Path]:
    """Runs of the same requests under two policies, of others, and of a closed loop."""
    rows = [(i * 1000, 20 + i % 50, 1 + i % 30) for i in range(60)]
    loop = with_arrivals(trace(rows), "users:3", 0)
    others = (([*rows, (10**6, 900, 5)], "ffd"), (rows[:40], "paged"), (loop, "count-static(n=9)"))
    made = [simulate(experiment(requests, kv_blocks=10), parse_policy(policy)) for requests, policy in others]
    places = [tmp_path_factory.mktemp("run") for _ in range(4)]
    for place, each in zip(places, [run, *made], strict=True):
        write_run(place, each)
    return places


@pytest.mark.parametrize("table", ["requests.parquet", "steps.parquet", "events.parquet", "run.json"])
def test_files_of_two_runs_are_not_read_as_one(tmp_path, folders, table):
    for other in folders[1:]:
        copytree(folders[0], tmp_path, dirs_exist_ok=True)
        copyfile(other / table, tmp_path / table)
        with pytest.raises(InvalidRun, match=r"\.parquet is of another run: .*; run it again"):
            read_run(tmp_path)


FILES = ("run.json", "requests.parquet", "steps.parquet", "events.parquet")


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_whatever_happens_to_a_file_there_is_a_run_to_report_or_a_refusal(tmp_path, folders, data):
    copytree(data.draw(st.sampled_from(folders)), tmp_path, dirs_exist_ok=True)
    path = tmp_path / data.draw(st.sampled_from(FILES))
    content = bytearray(path.read_bytes())
    at = st.integers(0, len(content) - 1)
    damage = data.draw(st.sampled_from(["cut", "flip", "flip", "replace", "other run", "column"]))
    if damage == "cut":
        path.write_bytes(content[: data.draw(at)])
    elif damage == "flip":
        for place in data.draw(st.lists(at, min_size=1, max_size=3)):
            content[place] = data.draw(st.integers(0, 255))
        path.write_bytes(content)
    elif damage == "replace":
        path.write_bytes((tmp_path / data.draw(st.sampled_from(FILES))).read_bytes())
    elif damage == "other run":
        copyfile(data.draw(st.sampled_from(folders)) / path.name, path)
    elif path.name != "run.json":
        without(tmp_path, path.name, data.draw(st.sampled_from(pq.read_schema(path).names)))
    refused = ""
    try:
        found = read_run(tmp_path)
        render_markdown(Study.of([found]))
        for read in (request_timeline, used_curve, summarize):
            read(found)
    except InvalidRun as error:
        refused = str(error)
    assert "\n" not in refused


def test_a_newer_schema_is_refused(tmp_path, run):
    write_run(tmp_path, Run(msgspec.structs.replace(run.info, schema=99), run.requests, run.steps, run.events))
    with pytest.raises(InvalidRun, match="schema 99, this version reads up to 2: update warpgroup"):
        read_run(tmp_path)


def test_a_folder_is_claimed_only_if_it_is_free(tmp_path):
    claim_folder(tmp_path / "new")
    (tmp_path / "new" / "file").touch()
    with pytest.raises(OutputRefused, match="is not empty: choose another folder"):
        claim_folder(tmp_path / "new")
    claim_folder(tmp_path / "new", force=True)
    claim_folder(tmp_path / "new", resume=True)
    with pytest.raises(OutputRefused, match="cannot write to"):
        claim_folder(tmp_path / "new" / "file")


def test_an_interrupt_while_writing_waits_until_the_folder_is_whole(tmp_path, run, monkeypatch):
    write_table = pq.write_table

    def interrupted(*arguments, **options):
        signal.raise_signal(signal.SIGINT)
        write_table(*arguments, **options)

    monkeypatch.setattr(pq, "write_table", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_run(tmp_path, run)
    assert read_run(tmp_path).info == run.info


@pytest.mark.parametrize("before", [-1, 1, 5])
def test_a_record_in_which_a_request_waits_for_none_before_it_is_refused(tmp_path, before):
    loop = with_arrivals(trace([(0, 9, 2)] * 3), "users:1", 0)
    run = simulate(experiment(loop), "paged")
    run.requests["after_id"] = np.array([-1, before, 1])
    write_run(tmp_path / "run", run)
    with pytest.raises(InvalidRun, match="a request waits for a request that is not before it"):
        read_run(tmp_path / "run")
