"""Sessions fitted to traces: what was put in is found again, of any closed loop there is a model."""

from dataclasses import replace

import msgspec
import numpy as np
import pytest
from hypothesis import assume, given, settings
from support.conversations import conversations
from support.paths import SHARED

from warpgroup.workloads import Trace, Turns, encode_workload, fit, generate_from, load_workload, read_trace
from warpgroup.workloads.fitting.mixture_fit import fit_mixtures
from warpgroup.workloads.fitting.session_fit import SessionTable, fit_sessions
from warpgroup.workloads.models.arrival_processes import Poisson
from warpgroup.workloads.models.length_mixture import LengthMixture
from warpgroup.workloads.models.session_model import DrawnSessions, Quantiles, SessionModel, draw_sessions
from warpgroup.workloads.models.workload_model import WorkloadModel

WEKA = SHARED / "traces/weka_claude_code/traces.first60.jsonl.gz"


def lognormal(mean: tuple[float, float], cov: tuple[float, float, float]) -> LengthMixture:
    return LengthMixture((1.0,), (mean,), (cov,))


KNOWN = SessionModel(
    starts=lognormal((8.0, 3.5), (0.2, -0.1, 0.4)),
    growth=lognormal((6.0, 5.0), (0.8, 0.3, 0.5)),
    early_growth=lognormal((7.5, 4.0), (0.3, 0.0, 0.3)),
    early_tokens=4_000,
    most_turns=200,
    most_growth=10**6,
    think_s=Quantiles((0.0, 0.2, 0.5, 0.9, 1.0), (0.0, 0.0, 10.0, 100.0, 1_000.0)),
    limit=Quantiles((0.0, 1.0), (18_000.0, 22_000.0)),
    reset=0.02,
    kept=Quantiles((0.0, 1.0), (0.2, 0.6)),
)


def trace_of(drawn: DrawnSessions) -> Trace:
    rows = [(0, *row) for row in zip(drawn.prompt_tokens.tolist(), drawn.output_tokens.tolist(), strict=True)]
    return replace(Trace.of_rows(rows, max_new_tokens=10**6), turns=drawn.turns, has_times=False)


def table_of(trace: Trace) -> SessionTable:
    return SessionTable.of(trace.prompt_tokens, trace.output_tokens, trace.turns)


@pytest.mark.parametrize("seed", [1, 2])
def test_what_was_put_in_is_found_again(seed):
    """Of 2,000 turns in 50 sessions. Limits are known by the last prompts before them, which are a little shorter, and
    some resets at any length come near them.
    """
    trace = trace_of(draw_sessions(KNOWN, 2_000, (10**6, 10**6), seed))
    found = fit_sessions(table_of(trace), KNOWN.growth, seed)
    assert found.starts.mean_ln[0] == pytest.approx((8.0, 3.5), abs=0.2)
    assert found.starts.cov_ln[0] == pytest.approx((0.2, -0.1, 0.4), abs=0.15)
    assert found.think_s.below(10.0) == pytest.approx(0.5, abs=0.04)
    assert found.think_s.below(100.0) == pytest.approx(0.9, abs=0.04)
    assert (found.think_s.at(np.linspace(0, 1, 101)) == 0).mean() == pytest.approx(0.2, abs=0.11)  # of tenths
    assert found.kept.at(np.array([0.2, 0.5, 0.8])) == pytest.approx(KNOWN.kept.at(np.array([0.2, 0.5, 0.8])), abs=0.05)
    assert 0.85 < found.limit.at(np.array(0.5)) / KNOWN.limit.at(np.array(0.5)) < 1.0
    assert found.limit.value[-1] == trace.prompt_tokens.max()
    assert 0.4 * KNOWN.reset < found.reset <= KNOWN.reset


def test_growth_is_found_again_and_what_is_drawn_is_like_the_trace():
    trace = trace_of(draw_sessions(KNOWN, 2_000, (10**6, 10**6), 3))
    model, report = fit(trace, components=1)
    assert (model.mixture, model.arrivals, report.sessions) == (None, None, int((~trace.turns.waits).sum()))
    # One in ten is called early; of those that grow as early ones do some are not, and make growth a little larger.
    assert model.sessions.growth.mean_ln[0] == pytest.approx((6.0, 5.0), abs=0.1)
    assert model.sessions.growth.cov_ln[0] == pytest.approx((0.8, 0.3, 0.5), abs=0.1)
    assert set(report.ks) == {"prompt", "output", "total", "turns", "first_prompt", "growth", "think_s"}
    assert all(distance < 0.06 for kind, distance in report.ks.items() if kind not in ("turns", "first_prompt"))
    assert all(report.ks[kind] < 0.15 for kind in ("turns", "first_prompt"))  # of a hundred sessions
    assert report.ks == model.ks


@settings(max_examples=12, deadline=None)
@given(trace=conversations())
def test_any_closed_loop_has_a_model_that_can_be_kept_and_generated_from(trace):
    assume(trace.is_closed_loop)
    table = table_of(trace)
    growth, output = table.growth(0)
    mixture = fit_mixtures(growth, output, range(1, 2), 0)[1].mixture
    clip = (int(trace.prompt_tokens.max()), int(trace.output_tokens.max()))
    model = WorkloadModel(
        name="any", clip=clip, max_new_tokens=clip[1], sessions=fit_sessions(table, mixture, 0), arrivals=Poisson(1.0)
    )
    assert msgspec.json.decode(encode_workload(model), type=WorkloadModel) == model
    made = generate_from(model, requests=30, seed=1)
    assert made.turns.fault(made.arrival_ns) is None
    assert made.prompt_tokens.max() <= clip[0]
    assert np.bincount(made.turns.session).max() <= np.bincount(trace.turns.first_of_loop()).max()


def test_the_table_of_a_few_requests():
    """Two sessions of 3 and 2 turns, where the first one is reset, and an independent request."""
    turns = Turns(
        *(np.array(c) for c in ([0, 0, 0, 1, 1, -1], [-1, 0, 1, -1, 3, -1], [-1, 10**9, 0, -1, 2 * 10**9, -1]))
    )
    table = SessionTable.of(np.array([10, 30, 12, 5, 5, 7]), np.array([1, 2, 3, 4, 5, 6]), turns)
    samples = {kind: sample.tolist() for kind, sample in table.samples().items()}
    assert samples == {"turns": [3, 2, 1], "first_prompt": [10, 5, 7], "growth": [20, 0], "think_s": [1.0, 0.0, 2.0]}
    growth, output = table.growth(0)
    assert (output.tolist(), growth[0], growth[3]) == ([1, 2, 3, 4, 5, 6], 20, 1)
    assert set(growth.tolist()) == {1, 20}


def test_a_limit_that_few_sessions_come_to_is_estimated_from_those_that_do():
    """Nine sessions end at 50. Of ten that go on to 100, five are reset there; of those the others end at 200."""
    prompts, sessions = [], [[10, 50]] * 9 + [[10, 100, 20]] * 5 + [[10, 100, 200]] * 5
    before, think = [], []
    for session in sessions:
        for turn, prompt in enumerate(session):
            before.append(len(prompts) - 1 if turn else -1)
            think.append(0 if turn else -1)
            prompts.append(prompt)
    turns = Turns(*(np.array(c) for c in ([0] * len(prompts), before, think)))
    table = SessionTable.of(np.array(prompts), np.ones(len(prompts), dtype=np.int64), turns)
    found = fit_sessions(table, KNOWN.growth, 0)
    assert found.reset == 0
    assert [found.limit.at(np.array(share)) for share in (0.4, 0.6)] == pytest.approx([100, 200])
    assert (found.most_turns, found.most_growth) == (3, 100)


@pytest.mark.skipif(not WEKA.is_file(), reason="the shared traces are not here")
def test_weka_is_fitted_as_well_as_the_model_that_ships():
    trace = read_trace(WEKA)
    model, report = fit(trace, components=3)
    shipped = load_workload("claude-code")
    assert report.sessions == 60
    for kind, distance in shipped.ks.items():
        assert report.ks[kind] <= distance + 0.02  # which has six components
    assert (model.clip, model.sessions.early_tokens) == (shipped.clip, shipped.sessions.early_tokens)
