"""Generated sessions: chains of turns whose prompts hold the conversation, the same ones whenever they are drawn."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from warpgroup.errors import InvalidScenario
from warpgroup.workloads import GeneratorSpec, generate_from, generate_trace, load_workload, with_arrivals
from warpgroup.workloads.models.arrival_processes import Gamma, Poisson
from warpgroup.workloads.models.generator import Component
from warpgroup.workloads.models.length_mixture import LengthMixture
from warpgroup.workloads.models.session_model import Quantiles, SessionModel, draw_sessions
from warpgroup.workloads.trace.loops import starts_ns

CODE = load_workload("claude-code")
ANY = (10**6, 10**6)


def lognormal(mean: tuple[float, float], sd: tuple[float, float]) -> LengthMixture:
    return LengthMixture((1.0,), (mean,), ((sd[0] ** 2, 0.0, sd[1] ** 2),))


def always(value: float) -> Quantiles:
    return Quantiles((0.0, 1.0), (value, value))


PLAIN = SessionModel(
    starts=lognormal((5.0, 2.0), (0.5, 0.5)),
    growth=lognormal((4.0, 3.0), (0.7, 0.7)),
    early_growth=lognormal((6.0, 3.0), (0.7, 0.7)),
    early_tokens=300,
    most_turns=40,
    most_growth=5_000,
    think_s=Quantiles((0.0, 0.3, 1.0), (0.0, 0.0, 60.0)),
    limit=Quantiles((0.0, 1.0), (1_000.0, 4_000.0)),
    reset=0.05,
    kept=Quantiles((0.0, 1.0), (0.1, 0.6)),
)


def columns(drawn) -> list[np.ndarray]:
    turns = drawn.turns
    return [drawn.prompt_tokens, drawn.output_tokens, turns.session, turns.after_id, turns.think_ns]


@given(requests=st.integers(1, 60), more=st.integers(0, 60), seed=st.integers(0, 2**31))
def test_more_requests_leave_the_earlier_ones_as_they_are(requests, more, seed):
    few, many = (columns(draw_sessions(PLAIN, count, ANY, seed)) for count in (requests, requests + more))
    assert all(len(column) == requests for column in few)
    assert all(np.array_equal(one, other[:requests]) for one, other in zip(few, many, strict=True))


@given(seed=st.integers(0, 2**31), longest=st.integers(1, 5_000))
def test_a_session_is_a_chain_of_turns_within_its_range(seed, longest):
    drawn = draw_sessions(PLAIN, 100, (longest, 50), seed)
    turns, prompt = drawn.turns, drawn.prompt_tokens
    later = turns.after_id >= 0
    assert turns.fault(np.zeros(100, dtype=np.int64)) is None
    assert np.array_equal(later, turns.waits)
    assert np.array_equal(turns.after_id[later], np.flatnonzero(later) - 1)
    assert np.array_equal(np.diff(turns.session), (~later[1:]).astype(int))
    assert np.bincount(turns.session).max() <= PLAIN.most_turns
    assert turns.think_ns.max() <= 60 * 10**9
    assert 1 <= prompt.min() <= prompt.max() <= longest
    assert 1 <= drawn.output_tokens.min() <= drawn.output_tokens.max() <= 50
    assert (prompt[drawn.reset] <= prompt[turns.after_id[drawn.reset]]).all()


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({"think_s": always(5.0)}, (0, 1, 2, 3)),
        ({"kept": always(0.5)}, (2, 3, 4)),
        ({"early_growth": PLAIN.growth}, (2, 3, 4)),
        ({"limit": always(700.0), "reset": 0.5}, (2, 3, 4)),
    ],
)
def test_what_is_drawn_for_one_purpose_does_not_hang_on_the_others(changes, same):
    before = columns(draw_sessions(PLAIN, 300, ANY, 1))
    after = columns(draw_sessions(msgspec.structs.replace(PLAIN, **changes), 300, ANY, 1))
    assert tuple(i for i in range(5) if np.array_equal(before[i], after[i])) == same


def test_a_prompt_holds_the_one_before_until_a_reset_leaves_a_share_of_it():
    steady = msgspec.structs.replace(PLAIN, limit=always(1e6), reset=0.0)
    drawn = draw_sessions(steady, 300, ANY, 1)
    assert (np.diff(drawn.prompt_tokens)[drawn.turns.waits[1:]] > 0).all()
    halved = msgspec.structs.replace(steady, reset=1.0, kept=always(0.5))
    drawn = draw_sessions(halved, 300, ANY, 1)
    later = np.flatnonzero(drawn.turns.waits)
    expected = [max(round(prompt / 2), 1) for prompt in drawn.prompt_tokens[later - 1].tolist()]
    assert drawn.prompt_tokens[later].tolist() == expected


def test_short_prompts_grow_as_early_ones_do():
    steady = msgspec.structs.replace(PLAIN, limit=always(1e6), reset=0.0, most_growth=10**6)
    drawn = draw_sessions(steady, 8_000, ANY, 1)
    later = np.flatnonzero(drawn.turns.waits)
    before = drawn.prompt_tokens[later - 1]
    growth = np.log(drawn.prompt_tokens[later] - before)
    assert growth[before < 300].mean() == pytest.approx(6.0, abs=0.06)
    assert growth[before >= 300].mean() == pytest.approx(4.0, abs=0.05)


def test_a_limit_below_the_sessions_own_is_kept_and_counted():
    spec = GeneratorSpec([Component("claude-code", max_prompt_tokens=50_000)])
    made = generate_trace(spec, requests=2_000, seed=3, max_new_tokens=1_000)
    assert made.prompt_tokens.max() <= 50_000
    repaired = made.source.repaired
    # From 45,000 tokens on, say, to the limit: that is what sessions come to again and again.
    assert repaired["session_reset_at_the_longest_prompt"] > 50
    assert repaired["length_clipped_to_the_range_of_its_mixture"] > 0  # first prompts
    assert repaired["output_clipped_to_max_new_tokens"] == (made.output_tokens == 1_000).sum()
    assert "session_reset_at_the_longest_prompt" not in generate_from(CODE, requests=2_000, seed=3).source.repaired


@pytest.mark.parametrize("process", [Poisson(0.01), Gamma(0.01, 0.5)], ids=str)
def test_sessions_arrive_and_turns_wait(process):
    model = msgspec.structs.replace(CODE, sessions=PLAIN, arrivals=process)
    made, longer = (generate_from(model, requests=count, seed=2) for count in (300, 500))
    assert made.has_times
    assert made.turns.fault(made.arrival_ns) is None
    assert (np.diff(starts_ns(made)) > 0).all()
    assert np.array_equal(longer.arrival_ns[:300], made.arrival_ns)
    assert (made.arrival_ns == starts_ns(made)[made.turns.session]).all()


def test_without_arrivals_users_begin_sessions():
    made = generate_from(CODE, requests=500, seed=0)
    assert (made.has_times, made.is_closed_loop, made.arrival_ns.any()) == (False, True, False)
    assert generate_from(CODE, requests=500, seed=0).content_hash == made.content_hash
    with_users = with_arrivals(made, "users:3", 0)
    assert (~with_users.turns.waits).sum() == 3


def test_sessions_are_not_mixed():
    for pair in (("claude-code", "bwb"), ("bwb", "claude-code"), ("claude-code", "claude-code")):
        with pytest.raises(InvalidScenario, match="claude-code has sessions, which cannot be mixed: use it alone"):
            generate_trace(GeneratorSpec([Component(name) for name in pair]), requests=9, seed=0, max_new_tokens=9)


def test_a_model_has_either_lengths_or_sessions():
    for changes in ({"sessions": None}, {"mixture": load_workload("bwb").mixture}):
        with pytest.raises(InvalidScenario, match="a mixture or sessions, and not both"):
            msgspec.structs.replace(CODE, **changes)


rising = st.lists(st.floats(0, 1e6), min_size=2, max_size=8).map(sorted)


@given(values=rising, shares=st.lists(st.floats(0, 1), min_size=1, max_size=20).map(sorted))
def test_quantiles_rise_from_the_least_to_the_greatest(values, shares):
    table = Quantiles(tuple(np.linspace(0, 1, len(values)).tolist()), tuple(values))
    found = table.at(np.array([0.0, *shares, 1.0]))
    assert found == pytest.approx(np.maximum.accumulate(found), rel=1e-9, abs=1e-9)
    assert (found[0], found[-1]) == (pytest.approx(values[0]), pytest.approx(values[-1]))
    for value in found:
        assert 0 <= table.below(float(value)) <= 1


def test_quantiles_are_drawn_as_often_as_they_say():
    table = Quantiles((0.0, 0.3, 0.6, 1.0), (0.0, 0.0, 10.0, 100.0))
    drawn = table.at(np.random.default_rng(0).random(20_000))
    assert (drawn == 0).mean() == pytest.approx(0.3, abs=0.01)
    assert (drawn <= 10).mean() == pytest.approx(0.6, abs=0.01)
    assert table.below(10.0) == pytest.approx(0.6)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("think_s", {"share": [0, 1], "value": [0]}, "share and value must have the same length"),
        ("think_s", {"share": [0, 0.5], "value": [0, 1]}, "share must rise from 0 to 1"),
        ("think_s", {"share": [0, 1], "value": [2, 1]}, "value must be 0 or more and must not fall"),
        ("think_s", {"share": [0, 1], "value": [0, float("inf")]}, "value must be 0 or more and must not fall"),
        ("think_s", {"share": [0, 1], "value": [0, 1e9]}, "think_s reaches 1e\\+09"),
        ("kept", {"share": [0, 1], "value": [0, 1.5]}, "kept reaches 1.5, expected at most 1"),
    ],
)
def test_mistakes_in_a_model_are_named(key, value, message):
    with pytest.raises(InvalidScenario, match=message):
        msgspec.convert({**msgspec.to_builtins(PLAIN), key: value}, SessionModel)
