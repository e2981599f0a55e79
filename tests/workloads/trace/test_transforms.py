"""Traces made into others: what is kept, what is counted, and that it is written down."""

from dataclasses import replace

import msgspec
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.experiments import TINY_DEVICE, TINY_MODEL
from support.paths import SHARED

from warpgroup.csrc import parse_policy
from warpgroup.errors import InvalidScenario, InvalidTrace
from warpgroup.experiment import build_experiment
from warpgroup.records import TraceInfo
from warpgroup.records.outcome import restore
from warpgroup.sim import simulate
from warpgroup.workloads import (
    Trace,
    Turns,
    clip_context,
    dequantize,
    drop_beyond_context,
    mix,
    quantum_ns,
    read_trace,
    reshuffled,
    scale_rate,
    shuffle_lengths,
    slice_time,
    summarize_trace,
)

MOONCAKE = SHARED / "traces/mooncake_fast25/conversation_trace.0-2400s.jsonl.gz"
S = 10**9

ROWS = st.lists(
    st.tuples(st.integers(0, 100 * S), st.integers(1, 500), st.integers(1, 500)), min_size=2, max_size=40
).map(sorted)


def trace(rows) -> Trace:
    return Trace.of_rows(rows, max_new_tokens=500)


def requests(of) -> list[tuple[int, int]]:
    return sorted(zip(of.prompt_tokens.tolist(), of.output_tokens.tolist(), strict=True))


def assert_sound(after) -> None:
    """What every transform owes: a trace, of which every row is accounted for."""
    assert len(after) > 0
    assert after.arrival_ns[0] >= 0
    assert (np.diff(after.arrival_ns) >= 0).all()
    assert ((after.prompt_tokens >= 1) & (after.output_tokens >= 1)).all()
    assert (after.output_tokens <= after.max_new_tokens).all()
    assert after.source.kept == len(after)
    assert after.source.rows_read == after.source.kept + sum(after.source.dropped.values())


TRANSFORMS = {
    "rate x2": lambda t: scale_rate(t, 2),
    "slice 0s to 200s": lambda t: slice_time(t, 0, 200),
    "dropped beyond 1000 tokens": lambda t: drop_beyond_context(t, 1000),
    "clipped to 300 tokens": lambda t: clip_context(t, 300),
    "dequantized by 2s, seed 5": lambda t: dequantize(t, 5, quantum_s=2),
    "reshuffled, seed 5": lambda t: reshuffled(t, 5),
    "lengths shuffled, seed 5": lambda t: shuffle_lengths(t, 5),
}


@given(rows=ROWS, what=st.sampled_from(list(TRANSFORMS)))
def test_a_transform_gives_a_trace_says_what_it_did_and_leaves_the_first_alone(rows, what):
    before = trace(rows)
    hash_before = before.content_hash
    after = TRANSFORMS[what](before)
    assert_sound(after)
    assert after.source.transforms == (what,)
    assert TRANSFORMS[what](before).content_hash == after.content_hash
    assert (before.content_hash, before.source.transforms) == (hash_before, ())


def test_transforms_are_written_down_in_their_order():
    after = drop_beyond_context(slice_time(trace([(0, 1, 1), (S, 9, 9), (5 * S, 1, 1)]), 0, 2), 4)
    assert after.source.transforms == ("slice 0s to 2s", "dropped beyond 4 tokens")
    assert after.source.dropped == {"outside_of_the_slice": 1, "longer_than_the_context": 1}


def test_a_slice_has_its_start_and_not_its_end():
    after = slice_time(trace([(0, 1, 1), (S, 2, 2), (2 * S, 3, 3), (3 * S, 4, 4)]), 1, 3)
    assert (after.arrival_ns.tolist(), after.prompt_tokens.tolist()) == ([0, S], [2, 3])


@given(rows=ROWS, cut_s=st.integers(1, 99))
def test_two_slices_have_every_request_once(rows, cut_s):
    before = trace(rows)
    parts = []
    for start, end in ((0, cut_s), (cut_s, 200)):
        try:
            parts += requests(slice_time(before, start, end))
        except InvalidTrace:  # nothing arrives in this half
            continue
    assert sorted(parts) == requests(before)


@given(rows=ROWS, context=st.integers(2, 1200))
def test_a_context_is_kept_by_dropping_or_by_cutting(rows, context):
    before = trace(rows)
    over = int((before.prompt_tokens + before.output_tokens > context).sum())
    cut = clip_context(before, context)
    assert (cut.prompt_tokens + cut.output_tokens <= context).all()
    assert_sound(cut)
    assert cut.source.repaired.get("clipped_to_the_context", 0) == over
    if over < len(before):
        short = drop_beyond_context(before, context)
        assert (short.prompt_tokens + short.output_tokens <= context).all()
        assert short.source.dropped.get("longer_than_the_context", 0) == over
    else:
        with pytest.raises(InvalidTrace, match="no request is left"):
            drop_beyond_context(before, context)


def test_outputs_outlast_prompts_when_cut():
    assert requests(clip_context(trace([(0, 90, 30), (1, 5, 5), (2, 9, 200)]), 100)) == [(1, 99), (5, 5), (70, 30)]


@given(
    ticks=st.lists(st.integers(0, 40), min_size=2, max_size=60).filter(lambda t: len(set(t)) > 1),
    quantum=st.sampled_from([1_000, S, 3 * S]),
    seed=st.integers(0, 2**32),
)
def test_dequantized_requests_stay_within_their_tick(ticks, quantum, seed):
    rows = sorted((tick * quantum, 1 + i, 1) for i, tick in enumerate(ticks))
    before = trace(rows)
    after = dequantize(before, seed, quantum / S)
    tick_of = dict(zip(before.prompt_tokens.tolist(), before.arrival_ns.tolist(), strict=True))
    ticks_after = np.array([tick_of[prompt] for prompt in after.prompt_tokens.tolist()])
    jitter = after.arrival_ns - ticks_after
    assert jitter.max() - jitter.min() < quantum  # all shifted alike, so that the first is at 0
    assert (np.diff(ticks_after) >= 0).all()
    assert after.arrival_ns[0] == 0


def test_the_tick_of_a_clock_is_found():
    assert quantum_ns(trace([(0, 1, 1), (4 * S, 1, 1), (6 * S, 1, 1)])) == 2 * S
    crowded = [(tick * 3 * S + tick % 2 * 1_000_000, 1, 1) for tick in range(9) for _ in range(5)]
    assert quantum_ns(trace(crowded)) == pytest.approx(3 * S, abs=2_000_000)
    with pytest.raises(InvalidTrace, match="no arrival times to dequantize"):
        quantum_ns(trace([(0, 1, 1), (0, 2, 2)]))


@pytest.mark.skipif(not MOONCAKE.is_file(), reason="the shared traces are not here")
def test_mooncake_is_nearly_poisson_once_its_ticks_of_three_seconds_are_spread():
    """Published: CV 1.02; dispersion 1.07, 1.46 and 2.73 over 1, 10 and 60 s."""
    before = read_trace(MOONCAKE)
    assert quantum_ns(before) == 3 * S
    summary = summarize_trace(dequantize(before, seed=1))
    assert summary.cv == pytest.approx(1.02, abs=0.03)
    assert list(summary.idc.values()) == pytest.approx([1.07, 1.46, 2.73], abs=0.15)


@given(first=ROWS, other=ROWS, share=st.floats(0.05, 0.95))
def test_a_mix_has_requests_of_both_as_long_as_both_last(first, other, share):
    first, other = trace([(0, 1000, 1), *first, (100 * S, 1000, 1)]), trace([(0, 2000, 1), *other, (100 * S, 2000, 1)])
    mixed = mix(first, other, share)
    assert_sound(mixed)
    assert mixed.source.rows_read == len(first) + len(other)
    assert set(requests(mixed)) <= set(requests(first) + requests(other))
    assert len(mixed) >= min(len(first), len(other))


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_the_first_trace_keeps_its_rate_and_its_share(share):
    steady = trace([(i * S, 1, 1) for i in range(2000)])
    faster = trace([(i * S // 3, 2, 2) for i in range(6000)])
    mixed = mix(steady, faster, share)
    own = mixed.arrival_ns[mixed.prompt_tokens == 1]
    assert (np.diff(own) == S).all()
    assert len(own) / len(mixed) == pytest.approx(share, abs=0.01)


def test_shuffling_lengths_breaks_up_pairs_and_reshuffling_does_not():
    before = trace([(i, 1 + i, 1 + i) for i in range(400)])
    paired, shuffled = reshuffled(before, 1), shuffle_lengths(before, 1)
    assert requests(paired) == requests(before)
    assert (paired.prompt_tokens == paired.output_tokens).all()
    assert sorted(shuffled.prompt_tokens) == sorted(before.prompt_tokens)
    assert sorted(shuffled.output_tokens) == sorted(before.output_tokens)
    assert abs(np.corrcoef(shuffled.prompt_tokens, shuffled.output_tokens)[0, 1]) < 0.2


def test_what_was_done_is_kept_in_the_record_of_a_run():
    before = slice_time(trace([(0, 5, 5), (S, 6, 6), (5 * S, 7, 7)]), 0, 2)
    made = build_experiment(before, TINY_MODEL, TINY_DEVICE)
    recorded = simulate(made, parse_policy("paged"))
    assert recorded.info.scenario.trace.transforms == ("slice 0s to 2s",)
    again, _ = restore(recorded)
    assert (again.trace.source.transforms, again.trace.source.dropped) == (
        before.source.transforms,
        before.source.dropped,
    )


def test_a_record_from_before_there_were_transforms_is_still_read():
    recorded = simulate(build_experiment(trace(TWO), TINY_MODEL, TINY_DEVICE), parse_policy("paged"))
    told = msgspec.to_builtins(recorded.info.scenario.trace)
    del told["transforms"]
    assert msgspec.convert(told, TraceInfo) == recorded.info.scenario.trace


TWO = [(0, 1, 1), (S, 1, 1)]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: slice_time(trace(TWO), 5, 5), InvalidScenario, "expected 0 <= start < end"),
        (lambda: slice_time(trace(TWO), 5, 9), InvalidTrace, "no request is left"),
        (lambda: clip_context(trace(TWO), 1), InvalidScenario, "context is 1 tokens, expected at least 2"),
        (lambda: dequantize(trace(TWO), 0, 0), InvalidScenario, "is 0 s, expected a positive number"),
        (lambda: dequantize(trace(TWO), 0, 9e9 - 0.5), InvalidScenario, "would last"),
        (lambda: dequantize(trace(TWO), 0, 1e300), InvalidScenario, "expected a positive number"),
        (lambda: mix(trace(TWO), trace(TWO), 1), InvalidScenario, "more than 0 and less than 1"),
        (lambda: mix(trace(TWO), trace([(0, 1, 1)]), 0.5), InvalidTrace, "no arrival times to be mixed by"),
    ],
)
def test_what_makes_no_sense_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


@given(rows=ROWS, factor=st.floats(1e-9, 1e9))
@example(rows=[(0, 1, 1), (1, 1, 1)], factor=2.0)  # closer together than a nanosecond afterwards
@example(rows=[(0, 1, 1), (0, 1, 1)], factor=3.0)  # a span of 0
@example(rows=[(0, 1, 1), (100 * S, 1, 1)], factor=1e-9)  # a span of centuries
def test_every_rate_factor_gives_a_trace_with_the_same_requests_in_the_same_order(rows, factor):
    before = trace(rows)
    if before.arrival_ns[-1] / S / factor > 9e9:
        with pytest.raises(InvalidScenario, match="would last"):
            scale_rate(before, factor)
        return
    after = scale_rate(before, factor)
    assert_sound(after)
    assert after.prompt_tokens.tolist() == before.prompt_tokens.tolist()
    assert after.arrival_ns == pytest.approx(before.arrival_ns / factor, rel=1e-9, abs=0.51)


@given(first=ROWS, other=ROWS)
@example(first=[(0, 1, 1), (1, 1, 1)], other=[(0, 1, 1), (100 * S, 1, 1)])
def test_traces_of_any_two_rates_can_be_mixed(first, other):
    rows = [trace([(0, 1, 1), *each[1:]]) for each in (first, other)]
    if all(each.arrival_ns[-1] > 0 for each in rows):
        assert_sound(mix(*rows, 0.5))


def test_pauses_count_when_a_trace_is_stretched():
    looped = replace(trace(TWO), turns=Turns(*(np.array(c) for c in ([0, 0], [-1, 0], [-1, 8 * 10**18]))))
    with pytest.raises(InvalidScenario, match="would last"):
        scale_rate(replace(looped, arrival_ns=np.array([2 * S, 2 * S])), 1e-9)
    assert scale_rate(replace(looped, arrival_ns=np.array([S, S])), 0.5).arrival_ns.tolist() == [2 * S, 2 * S]


@pytest.mark.parametrize("factor", [0.0, -1.0, float("nan"), float("inf"), 1e-300, 1e12])
def test_a_rate_that_no_trace_can_have_is_refused(factor):
    trace = Trace.of_rows([(0, 1, 1), (2 * S, 1, 1)], max_new_tokens=1)
    with pytest.raises(InvalidScenario, match="the rate factor is"):
        scale_rate(trace, factor)
