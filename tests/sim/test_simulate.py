"""What a simulated run must be, whatever the policy and the workload."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.experiments import experiment

from warpgroup.csrc import EVENTS, STATUSES, STEP_EVENTS, parse_policy, policy_catalogue
from warpgroup.records import Run
from warpgroup.sim import AnalyticStepTime, simulate

POLICIES = [
    "count-static(n=4, timeout_s=0)",
    "count-continuous(n=6)",
    "ffd(margin=0.5, age_s=0)",
    "mc-sf(lengths=1)",
    "skyline(margin=0.2, age_s=0)",
    *(info.id for info in policy_catalogue() if not info.id.startswith("count-")),
]
AWARE = [policy for policy in POLICIES if parse_policy(policy).build().sees_memory]
MS = 1_000_000
PREFILL_FIRST = {"token-budget", "token-ratio"}
"""They hold up decoding while a prompt is prefilled, whether memory is short or not."""

workloads = st.lists(
    st.tuples(st.integers(0, 400 * MS), st.integers(1, 300), st.integers(1, 90)), min_size=1, max_size=60
).map(sorted)


def many(seed: int) -> list[tuple[int, int, int]]:
    """Enough requests that `ffd` leaves its cold start, with outputs that outgrow its predictions."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(100, 250))
    arrival = np.sort(rng.integers(0, 3_000 * MS, count))
    prompt = rng.integers(1, 200, count)
    output = np.minimum(1 + rng.geometric(1 / 20, count), 90)
    return [tuple(map(int, row)) for row in zip(arrival, prompt, output, strict=True)]


def run(rows, policy: str, *, blocks: int, **options) -> Run:
    return simulate(experiment(rows, kv_blocks=blocks, max_seqs=32), parse_policy(policy), **options)


def assert_same(one: Run, other: Run) -> None:
    assert one.info.plan_hash == other.info.plan_hash
    for name, values in one.requests.items():
        assert np.array_equal(values, other.requests[name]), name
    for name, values in one.events.items():
        assert np.array_equal(values, other.events[name]), name


@pytest.mark.parametrize("policy", POLICIES)
@given(rows=st.one_of(workloads, st.integers(0, 10**6).map(many)), blocks=st.integers(20, 80), plan_ahead=st.booleans())
@settings(max_examples=20, deadline=None)
def test_macro_steps_equal_single_steps_to_the_nanosecond(policy, rows, blocks, plan_ahead):
    assert_same(
        run(rows, policy, blocks=blocks, plan_ahead=plan_ahead, macro_steps=True),
        run(rows, policy, blocks=blocks, plan_ahead=plan_ahead, macro_steps=False),
    )


@pytest.mark.parametrize("policy", AWARE)
@given(seed=st.integers(0, 10**6), blocks=st.integers(20, 60))
@settings(max_examples=15, deadline=None)
def test_vram_never_exceeds_the_budget_under_a_policy_that_sees_memory(policy, seed, blocks):
    result = run(many(seed), policy, blocks=blocks, macro_steps=False)
    assert (result.steps["vram_used_bytes"] <= result.steps["vram_budget_bytes"]).all()
    assert result.info.summary["ooms"] == 0


@pytest.mark.parametrize("policy", POLICIES)
@given(rows=workloads, blocks=st.integers(20, 80))
@settings(max_examples=15, deadline=None)
def test_every_request_has_exactly_one_ending_and_its_times_are_in_order(policy, rows, blocks):
    r = run(rows, policy, blocks=blocks).requests
    finished = r["status"] == STATUSES.index("finished")
    assert not (r["status"] == STATUSES.index("aborted")).any()
    for earlier, later in (
        ("arrival_ns", "admitted_ns"),
        ("admitted_ns", "first_token_ns"),
        ("first_token_ns", "finish_ns"),
    ):
        assert (r[earlier][finished] <= r[later][finished]).all(), (earlier, later)
    one_token = finished & (r["output_tokens"] == 1)
    assert np.array_equal(r["first_token_ns"][one_token], r["finish_ns"][one_token])


@pytest.mark.parametrize("policy", POLICIES)
def test_steps_do_not_overlap_and_cover_the_tokens(policy):
    result = run(many(1), policy, blocks=60)
    s = result.steps
    assert (s["start_ns"][1:] >= (s["start_ns"] + s["duration_ns"])[:-1]).all()
    assert result.info.summary["finished"] == result.info.summary["requests"]


def test_a_count_too_large_for_the_card_runs_out_of_memory_where_ffd_does_not():
    rows = [(0, 150, 60)] * 40
    static = run(rows, "count-static(n=32)", blocks=40)
    ffd = run(rows, "ffd", blocks=40)
    assert static.info.summary["ooms"] > 0
    assert (static.events["event"] == EVENTS.index("oom")).sum() == static.info.summary["ooms"]
    assert (static.steps["event"] == STEP_EVENTS.index("oom")).sum() == static.info.summary["ooms"]
    assert ffd.info.summary["ooms"] == 0
    assert static.info.summary["finished"] == ffd.info.summary["finished"] == 40


def test_an_oom_event_names_a_need_beyond_the_budget():
    result = run([(0, 150, 60)] * 40, "count-static(n=32)", blocks=40)
    needed = result.events["bytes"][result.events["event"] == EVENTS.index("oom")]
    assert (needed > result.info.scenario.memory.budget_bytes).all()


def test_with_ample_memory_all_continuous_policies_agree_and_static_loses_by_padding():
    rows = many(2)
    mixed = {info.id for info in policy_catalogue()} - {"count-static", "ffd-static"} - PREFILL_FIRST
    runs = {
        p: run(rows, p, blocks=4_000).info.summary for p in mixed - {"count-continuous"} | {"count-continuous(n=32)"}
    }
    static = run(rows, "count-static(n=8, timeout_s=0)", blocks=4_000).info.summary
    for name in ("total_tok_s", "output_tok_s"):
        values = [summary[name] for summary in runs.values()]
        assert max(values) <= 1.02 * min(values)
    means = [summary["e2e_s"]["mean"] for summary in runs.values()]
    assert max(means) <= 1.02 * min(means)
    assert static["e2e_s"]["mean"] > max(means)
    assert static["padding_waste"] > 0.1
    assert all(summary["padding_waste"] == 0 for summary in runs.values())


def test_a_request_too_large_is_rejected_with_a_reason_and_the_run_goes_on():
    result = run([(0, 500, 5), (0, 20, 5)], "paged", blocks=20)
    assert [STATUSES[code] for code in result.requests["status"]] == ["rejected", "finished"]
    assert result.requests["reason"][0] == "prompt of 500 tokens needs 32 KV blocks, the pool has 20"
    assert result.info.complete


def test_a_static_batch_waits_for_its_timeout():
    result = run([(0, 10, 2)], "count-static(n=4, timeout_s=0.25)", blocks=20)
    assert result.requests["admitted_ns"][0] == 250 * MS


def test_stop_on_oom_ends_the_run_marked_incomplete():
    result = run([(0, 150, 60)] * 40, "count-static(n=32)", blocks=40, stop_on_oom=True)
    assert not result.info.complete
    assert result.info.summary["ooms"] == 1
    assert result.info.summary["aborted"] == 40


def test_progress_counts_every_ended_request():
    seen: list[int] = []
    run(many(3), "paged", blocks=60, on_progress=seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == len(many(3))


def test_two_processes_write_identical_requests(tmp_path):
    """The bytes of requests.parquet, not only the numbers in it."""
    script = (
        "import sys; from pathlib import Path; sys.path[:0] = sys.argv[2:];"
        "from support.experiments import experiment; from warpgroup.csrc import parse_policy;"
        "from warpgroup.records import write_run; from warpgroup.sim import simulate;"
        "rows = [(i * 3_000_000, 20 + i % 90, 1 + i % 37) for i in range(300)];"
        "write_run(Path(sys.argv[1]), simulate(experiment(rows, kv_blocks=40), parse_policy('ffd')))"
    )
    written = []
    for name in ("one", "two"):
        subprocess.run([sys.executable, "-c", script, str(tmp_path / name), *sys.path], check=True)
        written.append((tmp_path / name / "requests.parquet").read_bytes())
    assert written[0] == written[1]


def test_the_simulator_does_not_import_torch_or_plotting():
    script = (
        "import sys, warpgroup.cli.main, warpgroup.sim, warpgroup.reports;"
        "print([m for m in ('torch', 'seaborn', 'matplotlib', 'pandas', 'pyarrow') if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


@given(
    rows=st.integers(1, 300),
    context=st.integers(1, 10**6),
    steps=st.integers(1, 500),
    cut=st.integers(0, 499),
)
def test_durations_of_steps_that_are_alike_add_up_exactly(rows, context, steps, cut):
    from warpgroup.csrc import StepWork

    made = experiment([(0, 1, 1)], kv_blocks=20)
    model = AnalyticStepTime(made.memory.geometry, made.device)

    def work(context_tokens: int) -> StepWork:
        return StepWork(decode_rows=rows, context_tokens=context_tokens, sampled_rows=rows)

    cut = min(cut, steps)
    parts = model.cumulative_fs(work(context), cut) + model.cumulative_fs(work(context + rows * cut), steps - cut)
    assert parts == model.cumulative_fs(work(context), steps)
