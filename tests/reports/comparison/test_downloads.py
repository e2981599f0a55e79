"""The data in the page: links that hold whole files, small enough, the same as the record."""

import csv
import io
import json
import re
from base64 import b64decode
from html.parser import HTMLParser

import msgspec
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.experiments import experiment

from warpgroup.csrc import STATUSES, parse_policy
from warpgroup.records import Run
from warpgroup.records.metrics import summary_of
from warpgroup.records.sweep import PolicySweep, RatePoint, Sweep
from warpgroup.reports.comparison import downloads as module
from warpgroup.reports.comparison.downloads import Download, downloads
from warpgroup.reports.page.page import render_page
from warpgroup.sim import simulate
from warpgroup.workloads import Trace, with_arrivals

HOSTILE = "</script><img src=x onerror=alert(1)>"
BROKEN = 'a|b`c\nd,"e"'


def content(file: Download) -> bytes:
    head, _, encoded = file.href.partition(";base64,")
    assert head in ("data:application/gzip", "data:application/json", "data:text/csv")
    return b64decode(encoded, validate=True)


def named(made: module.Downloads) -> dict[str, bytes]:
    return {file.name: content(file) for file in made.files}


def frame(packed: bytes) -> pd.DataFrame:
    return pd.read_csv(io.BytesIO(packed), compression="gzip")


def as_policy(run: Run, policy: str) -> Run:
    return Run(msgspec.structs.replace(run.info, policy=policy), run.requests, run.steps, run.events)


@pytest.fixture(scope="module")
def table(runs) -> pd.DataFrame:
    return frame(named(downloads(runs))["requests.csv.gz"])


def test_what_runs_share_is_there_once_and_as_in_the_record(table, runs):
    assert len(table) == 80
    for name in ("id", "prompt_tokens", "output_tokens", "max_new_tokens"):
        assert table[name].tolist() == runs[0].requests[name].tolist()
    assert table["arrival_us"].tolist() == (runs[0].requests["arrival_ns"] // 1000).tolist()


def test_what_each_run_has_is_under_its_name(table, runs):
    for run in runs:
        label = run.info.label
        assert table[f"{label}:status"].tolist() == [STATUSES[code] for code in run.requests["status"]]
        for name in ("preemptions", "recomputed_tokens"):
            assert table[f"{label}:{name}"].tolist() == run.requests[name].tolist()
        for name in ("admitted", "first_token", "finish"):
            assert table[f"{label}:{name}_us"].tolist() == (run.requests[f"{name}_ns"] // 1000).tolist()


def test_a_summary_can_be_made_from_the_file_again(table, runs):
    for run in runs:
        e2e_s = (table[f"{run.info.label}:finish_us"] - table["arrival_us"]) / 1e6
        assert e2e_s.mean() == pytest.approx(run.info.summary["e2e_s"]["mean"], abs=2e-6)


def test_what_never_happened_is_empty_and_has_a_reason():
    run = simulate(experiment([(0, 5000, 5), (7, 10, 2)], kv_blocks=10), parse_policy("paged"))
    table = frame(named(downloads([run]))["requests.csv.gz"])
    assert table["paged:finish_us"].isna().tolist() == [True, False]
    assert table["paged:reason"].isna().tolist() == [False, True]
    assert table["paged:status"].tolist() == ["rejected", "finished"]


def test_runs_of_other_requests_have_a_file_of_their_own(runs):
    other = simulate(experiment([(0, 9, 3)], kv_blocks=10), parse_policy("paged"))
    later = runs[4].requests | {"arrival_ns": runs[4].requests["arrival_ns"] + 10**6}
    files = named(downloads([runs[3], other, Run(runs[4].info, later, runs[4].steps, runs[4].events), runs[0]]))
    assert [len(frame(files[f"requests-{number}.csv.gz"])) for number in (1, 2, 3)] == [80, 1, 80]
    assert "requests.csv.gz" not in files
    first = frame(files["requests-1.csv.gz"])
    assert [name for name in first if name.endswith(":status")] == [
        "paged #1:status",
        "count-static(n=2) #4:status",
    ]


def test_of_a_closed_loop_runs_share_the_requests_and_each_has_its_arrivals():
    trace = with_arrivals(Trace.of_rows([(0, 50 + i, 20) for i in range(12)], max_new_tokens=50), "users:3:0.5", 0)
    pair = [simulate(experiment(trace, kv_blocks=20), policy) for policy in ("paged", "count-static(n=2,timeout_s=1)")]
    table = frame(named(downloads(pair))["requests.csv.gz"])
    assert "arrival_us" not in table
    assert table["after_id"].tolist() == trace.turns.after_id.tolist()
    assert table["think_us"].dropna().unique().tolist() == [500_000]
    for run in pair:
        assert table[f"{run.info.label}:arrival_us"].tolist() == (run.requests["arrival_ns"] // 1000).tolist()
    assert (pair[0].requests["arrival_ns"] != pair[1].requests["arrival_ns"]).any()


def test_the_summary_is_what_json_prints_and_what_was_run(runs):
    listed = json.loads(named(downloads(runs))["summary.json"])
    for shown, run in zip(listed, runs, strict=True):
        assert shown | msgspec.to_builtins(run.info.summary) == shown
        assert shown["scenario"] == json.loads(msgspec.json.encode(run.info.scenario))
        assert (shown["run"], shown["seed"], shown["versions"]) == (run.info.label, run.info.seed, run.info.versions)


def test_the_comparison_has_a_row_for_each_run_and_seed(runs):
    seeds = [[msgspec.structs.replace(run.info, seed=seed) for seed in (0, 1, 2)] for run in runs[3:]]
    rows = pd.read_csv(io.BytesIO(named(downloads(runs[3:], seeds))["comparison.csv"]))
    assert rows[["run", "seed"]].values.tolist() == [[name, seed] for name in ("paged", "ffd") for seed in (0, 1, 2)]
    assert rows["ttft_s.p50"][3] == runs[4].info.summary["ttft_s"]["p50"]
    assert rows["complete"].all()


@pytest.fixture(scope="module")
def swept(runs) -> Sweep:
    def at(rate: float) -> RatePoint:
        return RatePoint(rate, 1 / rate, [0.5, 1.0], summary_of(runs[3].info))

    policies = [PolicySweep(name, False, 1.0, 2.0, [at(1.0), at(2.0)], []) for name in ("paged", "=1+1")]
    return Sweep(runs[3].info.scenario, [1.0, 2.0], [4, 5], 0.9, True, policies, {"warpgroup": "1"}, "warpgroup sweep")


def test_a_sweep_alone_has_its_capacities_and_every_point(swept, runs):
    files = named(downloads([], sweeps=[swept]))
    assert list(files) == ["capacities.json", "points.csv.gz"]
    shown = json.loads(files["capacities.json"])
    assert [(each["policy"], each["capacity"]) for each in shown["policies"]] == [("paged", 1.0), ("=1+1", 1.0)]
    assert (shown["command"], shown["seeds"], shown["scenario"]["model"]) == ("warpgroup sweep", [4, 5], "tiny")
    points = frame(files["points.csv.gz"])
    assert points["run"].tolist() == ["paged", "paged", "'=1+1", "'=1+1"]
    assert points["rate"].tolist() == [1.0, 2.0, 1.0, 2.0]
    assert points["attainment.seed-5"].tolist() == [1.0] * 4
    assert points["ttft_s.p50"][0] == runs[3].info.summary["ttft_s"]["p50"]


def test_sweeps_beside_runs_have_files_of_their_own(swept, runs):
    made = downloads(runs[3:], sweeps=[swept, swept])
    assert [file.name for file in made.files] == [
        "requests.csv.gz", "summary.json", "comparison.csv", "capacities-1.json", "capacities-2.json",
        "points-1.csv.gz", "points-2.csv.gz",
    ]  # fmt: skip


def test_points_that_are_too_many_are_left_out_and_the_page_says_where_they_are(swept, monkeypatch):
    monkeypatch.setattr(module, "LIMIT_BYTES", sum(len(file.href) for file in downloads([], sweeps=[swept]).files) - 99)
    made = downloads([], sweeps=[swept])
    assert [file.name for file in made.files] == ["capacities.json"]
    assert "sweep.json in the folder of the sweep" in render_page("downloads.html.jinja", downloads=made)


@pytest.fixture(scope="module")
def little() -> Run:
    return simulate(experiment([(0, 9, 3)], kv_blocks=10), parse_policy("paged"))


@given(name=st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_any_name_comes_back_from_csv_but_for_its_controls_and_runs_nowhere(little, name):
    rows = frame(named(downloads([as_policy(little, name)]))["requests.csv.gz"])
    (head,) = [each for each in rows if each.endswith(":finish_us")]
    shown = re.sub(r"[\x00-\x09\x0b-\x1f\x7f]", " ", name)
    assert head == ("'" if shown[0] in "=+-@" else "") + f"{shown}:finish_us"
    assert rows[head].tolist() == (little.requests["finish_ns"] // 1000).tolist()


@pytest.mark.parametrize("name", [HOSTILE, BROKEN, "=HYPERLINK(1)"])
def test_a_hostile_name_is_text_in_the_page_and_whole_in_the_files(runs, name):
    made = downloads([as_policy(runs[3], name), as_policy(runs[4], f"{name}2")])
    page = render_page("downloads.html.jinja", downloads=made)
    assert HOSTILE not in page
    reader = Links()
    reader.feed(page)
    assert reader.tags <= {"h2", "ul", "li", "a", "p", "code"}
    assert reader.links == {file.name: file.href for file in made.files}
    assert json.loads(named(made)["summary.json"])[0]["run"] == name
    rows = list(csv.DictReader(io.StringIO(named(made)["comparison.csv"].decode(), newline="")))
    assert rows[0]["run"].removeprefix("'") == name


class Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.links: dict[str, str] = {}
        self.tags: set[str] = set()

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        if tag == "a":
            self.links[dict(attributes)["download"]] = dict(attributes)["href"]


def test_the_same_runs_give_the_same_bytes(runs):
    made = downloads(runs)
    assert made == downloads(runs)
    packed = content(made.files[0])
    assert packed[:2] == b"\x1f\x8b"
    assert packed[4:8] == bytes(4)  # no date


def simulated(count: int) -> list[Run]:
    """Three policies, and more requests than they can take at once."""
    rng = np.random.default_rng(0)
    arrivals = np.cumsum(rng.exponential(4e6, count)).astype(int).tolist()
    prompts, outputs = (rng.lognormal(mean, 1, count).clip(1, 99).astype(int).tolist() for mean in (4, 3))
    made = experiment(list(zip(arrivals, prompts, outputs, strict=True)), kv_blocks=200)
    return [simulate(made, parse_policy(policy)) for policy in ("count-continuous(n=32)", "paged", "skyline")]


def test_ten_thousand_requests_of_three_runs_are_small():
    made = downloads(simulated(10_000))
    assert not made.requests_left_out
    assert sum(len(file.href) for file in made.files) <= 450 << 10


def test_too_many_requests_are_left_out_and_the_page_says_where_they_are(runs):
    made = downloads(simulated(50_000))
    assert made.requests_left_out
    assert [file.name for file in made.files] == ["summary.json", "comparison.csv"]
    assert "requests.parquet" in render_page("downloads.html.jinja", downloads=made)
    assert "requests.parquet" not in render_page("downloads.html.jinja", downloads=downloads(runs))


def test_files_together_keep_the_limit(runs, monkeypatch):
    whole = downloads(runs)
    size = sum(len(file.href) for file in whole.files)
    monkeypatch.setattr(module, "LIMIT_BYTES", size)
    assert downloads(runs) == whole
    monkeypatch.setattr(module, "LIMIT_BYTES", size - 100)
    assert downloads(runs).requests_left_out
