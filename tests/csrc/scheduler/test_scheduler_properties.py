"""What must hold for every policy on every workload."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.driving import Row, drive, memory

from warpgroup.csrc import parse_policy

POLICIES = [
    "count-static(n=4, timeout_s=3)",
    "count-static(n=64, timeout_s=0)",
    "count-continuous(n=5)",
    "count-continuous(n=60)",
    "count-continuous(n=6, barrier=1)",
    "paged",
    "paged(watermark=0.1)",
    "ffd",
    "ffd(margin=0.5, age_s=5)",
    "ffd(window=3)",
    "ffd-static",
    "orca",
    "token-budget",
    "no-evict",
    "sarathi(chunk=64)",
    "token-ratio",
    "token-ratio(conservativeness=0.2)",
    "past-future",
    "mc-sf",
    "mc-sf(lengths=1)",
    "sorted-f",
    "sorted-f(lengths=1)",
    "first-fit(margin=0.3)",
    "skyline",
    "skyline(margin=0.5, order=1, age_s=5)",
    "skyline(swap_gib=0, order=2)",
    "oracle",
]
AWARE = [policy for policy in POLICIES if parse_policy(policy).build().sees_memory]
BLIND_TO_LENGTHS = [policy for policy in POLICIES if not parse_policy(policy).build().sees_lengths]
MAX_NEW = 90

rows = st.lists(
    st.builds(
        Row,
        arrival_s=st.integers(0, 60),
        prompt=st.integers(1, 400),
        output=st.one_of(st.integers(1, 6), st.integers(1, MAX_NEW)),
    ),
    min_size=1,
    max_size=40,
)
pools = st.integers(20, 120)
every_policy = pytest.mark.parametrize("policy", POLICIES)


@every_policy
@given(rows=rows, blocks=pools)
@settings(max_examples=60, deadline=None)
def test_every_request_ends_and_nothing_is_held_afterwards(policy, rows, blocks):
    drive(policy, rows, memory(blocks), max_new=MAX_NEW)


@pytest.mark.parametrize("policy", AWARE)
@given(rows=rows, blocks=pools)
@settings(max_examples=60, deadline=None)
def test_a_policy_that_sees_memory_never_exceeds_it(policy, rows, blocks):
    pool = memory(blocks)
    outcome = drive(policy, rows, pool, max_new=MAX_NEW)
    assert outcome.ooms == 0
    assert outcome.peak_bytes <= pool.budget_bytes


@every_policy
@given(rows=rows, blocks=pools)
@settings(max_examples=60, deadline=None)
def test_tokens_are_conserved(policy, rows, blocks):
    outcome = drive(policy, rows, memory(blocks), max_new=MAX_NEW)
    if outcome.failed:
        return  # tokens that a failed request computed are in neither count
    needed = sum(rows[i].prompt + rows[i].output - 1 for i in outcome.finished)
    assert outcome.computed == needed + outcome.recomputed


@every_policy
@given(rows=rows, blocks=pools)
@settings(max_examples=60, deadline=None)
def test_macro_steps_and_single_steps_are_the_same_run(policy, rows, blocks):
    macro = drive(policy, rows, memory(blocks), max_new=MAX_NEW, macro=True)
    single = drive(policy, rows, memory(blocks), max_new=MAX_NEW, macro=False)
    assert macro.plan_hash == single.plan_hash
    assert macro.finished == single.finished
    assert (macro.steps, macro.computed, macro.running_steps) == (
        single.steps,
        single.computed,
        single.running_steps,
    )


@every_policy
@given(rows=rows, blocks=pools)
@settings(max_examples=30, deadline=None)
def test_the_same_requests_give_the_same_plans(policy, rows, blocks):
    first = drive(policy, rows, memory(blocks), max_new=MAX_NEW)
    second = drive(policy, rows, memory(blocks), max_new=MAX_NEW)
    assert (first.plans, first.plan_hash) == (second.plans, second.plan_hash)


@pytest.mark.parametrize("policy", BLIND_TO_LENGTHS)
@given(rows=rows, other_outputs=st.lists(st.integers(1, MAX_NEW), min_size=40, max_size=40), blocks=pools)
@settings(max_examples=60, deadline=None)
def test_no_policy_knows_an_output_length_before_it_is_reached(policy, rows, other_outputs, blocks):
    """Two traces that differ in output lengths only have the same plans until one of them finishes a request."""
    others = [Row(row.arrival_s, row.prompt, output) for row, output in zip(rows, other_outputs, strict=False)]
    one = drive(policy, rows, memory(blocks), max_new=MAX_NEW, macro=False)
    other = drive(policy, others, memory(blocks), max_new=MAX_NEW, macro=False)
    until = min([*one.finished.values(), *other.finished.values()], default=10**9)
    assert [p for p in one.plans if p[0] < until] == [p for p in other.plans if p[0] < until]


@every_policy
@given(rows=rows, blocks=pools, aborts=st.dictionaries(st.integers(0, 39), st.integers(0, 30), max_size=8))
@settings(max_examples=60, deadline=None)
def test_an_abort_at_any_moment_frees_everything(policy, rows, blocks, aborts):
    aborts = {request: at for request, at in aborts.items() if request < len(rows)}
    drive(policy, rows, memory(blocks), max_new=MAX_NEW, abort_at=aborts)


def with_age(policy: str, age_s: int) -> str:
    return f"{policy[:-1]}, age_s={age_s})" if policy.endswith(")") else f"{policy}(age_s={age_s})"


RUNNING_REQUESTS_END_S = 30
"""Seconds: outputs of 20 tokens, and a few steps in which prompts are still prefilled."""


@pytest.mark.parametrize("policy", ["ffd", "skyline(order=1)"])
@given(longer=st.lists(st.integers(200, 300), min_size=20, max_size=60), age_s=st.integers(0, 50))
@settings(max_examples=25, deadline=None)
def test_ageing_bounds_the_wait_of_a_short_request_among_longer_ones(policy, longer, age_s):
    """Two run at a time, and a longer one always waits: without ageing, the short one would come last, after 200 s."""
    rows = [Row(0, 10, 20), *(Row(i // 3, prompt, 20) for i, prompt in enumerate(longer))]
    outcome = drive(with_age(policy, age_s), rows, memory(60), max_new=20, max_seqs=2)
    assert outcome.admitted_s[0] <= age_s + RUNNING_REQUESTS_END_S


@pytest.mark.parametrize("policy", ["ffd", "first-fit", "skyline"])
@given(small=st.lists(st.integers(20, 40), min_size=60, max_size=100), age_s=st.integers(0, 20))
@settings(max_examples=25, deadline=None)
def test_ageing_bounds_the_wait_of_a_large_request_among_small_ones(policy, small, age_s):
    """Small requests fill free memory at once: without ageing, the large one would wait for the end of the stream."""
    rows = [Row(12, 500, 20), *(Row(i, prompt, 20) for i, prompt in enumerate(small))]
    outcome = drive(with_age(policy, age_s), rows, memory(40), max_new=20)
    assert outcome.admitted_s[0] <= 12 + age_s + RUNNING_REQUESTS_END_S
