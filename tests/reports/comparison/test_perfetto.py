"""The trace for Perfetto: it keeps the rules of the trace-event format, and says what the record says."""

import gzip
import json
import time
import tracemalloc
from collections import Counter, defaultdict
from itertools import pairwise

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.experiments import experiment

from warpgroup.csrc import EVENTS, parse_policy
from warpgroup.errors import OutputRefused
from warpgroup.records import Run
from warpgroup.reports.comparison.perfetto import write_perfetto
from warpgroup.sim import simulate

HOSTILE = '</script><img src=x onerror=alert(1)>|b`c\nd"\\\u202e'
PHASES = {"queued", "prefill", "decode"}
NEEDED = {
    "M": {"name", "args"},
    "X": {"name", "ts", "dur"},
    "i": {"name", "ts", "s"},
    "C": {"name", "ts", "args"},
    "b": {"name", "ts", "cat", "id"},
    "e": {"name", "ts", "cat", "id"},
}


def events_of(runs: list[Run], folder) -> list[dict]:
    write_perfetto(runs, folder / "trace.json")
    return json.loads((folder / "trace.json").read_text(encoding="utf-8"))["traceEvents"]


def check_format(events: list[dict]) -> None:
    """By the format's rules: fields, unique ids, slices that end and lie within each other."""
    open_slices = defaultdict(list)
    ended = set()
    complete = defaultdict(list)
    for event in events:
        assert NEEDED[event["ph"]] | {"pid", "tid"} <= event.keys()
        assert event["ph"] == "M" or event["ts"] >= 0
        if event["ph"] == "b":
            key = (event["cat"], event["id"])
            assert key not in ended  # an id is used once
            assert not open_slices[key] or open_slices[key][-1]["ts"] <= event["ts"]
            open_slices[key].append(event)
        elif event["ph"] == "e":
            key = (event["cat"], event["id"])
            begun = open_slices[key].pop()
            assert (begun["name"], begun["pid"]) == (event["name"], event["pid"])
            assert begun["ts"] <= event["ts"]
            if not open_slices[key]:
                ended.add(key)
        elif event["ph"] == "X":
            complete[event["pid"], event["tid"]].append((event["ts"], event["dur"]))
        elif event["ph"] == "C":
            assert all(isinstance(value, int | float) for value in event["args"].values())
        elif event["ph"] == "i":
            assert event["s"] in "gpt"
    assert not any(open_slices.values())
    for slices in complete.values():
        assert all(duration >= 0 for _, duration in slices)
        assert all(start + duration <= following for (start, duration), (following, _) in pairwise(slices))


@pytest.fixture(scope="module")
def events(runs, tmp_path_factory) -> list[dict]:
    return events_of(runs, tmp_path_factory.mktemp("trace"))


def test_the_format_is_kept(events):
    check_format(events)


@given(
    rows=st.lists(
        st.tuples(st.integers(0, 10**9), st.integers(1, 700), st.integers(1, 30)), min_size=1, max_size=30
    ).map(sorted),
    policy=st.sampled_from(["count-static(n=9)", "count-continuous(n=9)", "paged", "ffd", "skyline(eager=1)"]),
)
@settings(max_examples=60, deadline=None)
def test_the_format_is_kept_whatever_happens_to_requests(tmp_path_factory, rows, policy):
    """Prompts that no pool holds, evictions, out-of-memory steps."""
    run = simulate(experiment(rows, kv_blocks=20), parse_policy(policy))
    events = events_of([run], tmp_path_factory.mktemp("trace"))
    check_format(events)
    statuses = Counter(event["args"]["status"] for event in events if event["name"] == "request" and "args" in event)
    assert statuses == Counter(
        {name: n for name in ("finished", "rejected", "failed") if (n := run.info.summary[name])}
    )


def test_each_run_is_a_process_of_its_own(events, runs):
    named = {event["pid"]: event["args"]["name"] for event in events if event["name"] == "process_name"}
    assert list(named.values()) == [run.info.policy for run in runs]
    assert {event["pid"] for event in events} == set(named)
    threads = {(event["pid"], event["tid"]) for event in events}
    assert len({thread for _, thread in threads}) == len(threads)  # a thread's id is no other process's


def test_requests_and_their_phases_are_at_the_times_of_the_record(events, runs):
    r = runs[3].requests
    process = next(event["pid"] for event in events if event["args"].get("name") == runs[3].info.policy)
    begun, ended = (
        {(event["id"], event["name"]): event["ts"] for event in events if event["ph"] == ph and event["pid"] == process}
        for ph in "be"
    )
    for i in range(len(r["id"])):
        times = [r[name][i] / 1e3 for name in ("arrival_ns", "admitted_ns", "first_token_ns", "finish_ns")]
        key = f"{process}.{i}"
        assert (begun[key, "request"], ended[key, "request"]) == (times[0], times[3])
        for phase, since, until in zip(("queued", "prefill", "decode"), times, times[1:], strict=False):
            assert (begun.get((key, phase), since), ended.get((key, phase), until)) == (since, until)
            assert ((key, phase) in begun) == (since < until)


def test_steps_events_and_counters_are_those_of_the_record(events, runs):
    for number, run in enumerate(runs):
        process = 2 * number + 1
        mine = [event for event in events if event["pid"] == process]
        slices = [event["args"] for event in mine if event["ph"] == "X"]
        for name in ("steps", "prefill_tokens", "decode_rows"):
            assert sum(args[name] for args in slices) == run.steps[name].sum()
        assert Counter(event["name"] for event in mine if event["ph"] == "i") == Counter(
            EVENTS[code] for code in run.events["event"]
        )
        tops = defaultdict(float)
        for event in mine:
            if event["ph"] == "C":
                tops[event["name"]] = max(tops[event["name"]], *event["args"].values())
        assert tops["VRAM used"] == pytest.approx(run.info.summary["peak_vram_bytes"] / 2**30, abs=1e-3)
        assert tops["VRAM budget"] == pytest.approx(run.info.summary["vram_budget_bytes"] / 2**30, abs=1e-3)
        assert tops["requests running"] == run.info.summary["running_max"]
        assert tops["requests waiting"] == run.steps["waiting"].max()


def test_between_two_batches_nothing_runs(tmp_path):
    run = simulate(experiment([(0, 10, 3), (10**12, 10, 3)], kv_blocks=20), parse_policy("paged"))
    counts = [
        (event["ts"], event["args"]["count"])
        for event in events_of([run], tmp_path)
        if event["name"] == "requests running"
    ]
    first, last = run.requests["finish_ns"] / 1e3
    assert counts == [(0.0, 1), (first, 0), (1e9, 1), (last, 0)]


def test_a_request_that_was_cut_short_ends_with_its_run(runs, tmp_path):
    requests = runs[3].requests | {"finish_ns": np.full(80, -1), "status": np.full(80, 3, dtype=np.int8)}
    events = events_of([Run(runs[3].info, requests, runs[3].steps, runs[3].events)], tmp_path)
    check_format(events)
    end = (runs[3].steps["start_ns"] + runs[3].steps["duration_ns"]).max() / 1e3
    assert {event["ts"] for event in events if event["ph"] == "e" and event["name"] == "request"} == {end}


def test_a_hostile_name_stays_a_string(runs, tmp_path):
    run = Run(msgspec.structs.replace(runs[3].info, policy=HOSTILE), runs[3].requests, runs[3].steps, runs[3].events)
    events = events_of([run, runs[4]], tmp_path)
    check_format(events)
    named = [event["args"]["name"] for event in events if event["name"] == "process_name"]
    assert named == ['</script><img src=x onerror=alert(1)>|b`c d"\\\N{REPLACEMENT CHARACTER}', "ffd"]


def test_compressed_it_is_the_same_and_the_same_every_time(runs, tmp_path):
    for name in ("a.json", "b.json.gz", "c.json.gz"):
        write_perfetto(runs[3:], tmp_path / name)
    assert gzip.decompress((tmp_path / "b.json.gz").read_bytes()) == (tmp_path / "a.json").read_bytes()
    assert (tmp_path / "b.json.gz").read_bytes() == (tmp_path / "c.json.gz").read_bytes()
    assert len(list(tmp_path.iterdir())) == 3


def test_a_place_that_cannot_be_written_is_named(runs, tmp_path):
    with pytest.raises(OutputRefused, match="cannot write"):
        write_perfetto(runs[3:], tmp_path / "missing" / "trace.json")


def test_ten_thousand_requests_are_streamed(runs, tmp_path):
    tiled = {name: np.tile(column, 125) for name, column in runs[3].requests.items()}
    steps = {name: np.tile(column, 60) for name, column in runs[3].steps.items()}
    tiled["id"] = np.arange(10_000)
    run = Run(runs[3].info, tiled, steps, runs[3].events)
    started = time.process_time()
    write_perfetto([run], tmp_path / "trace.json.gz")
    assert time.process_time() - started < 3
    tracemalloc.start()
    write_perfetto([run], tmp_path / "trace.json")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50e6
