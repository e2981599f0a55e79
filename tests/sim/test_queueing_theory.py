"""The simulator against queues whose answers are known in closed form.

Each check uses a confidence interval from batch means: the run is cut into consecutive batches, whose means are
nearly independent. 4.1 standard errors of 30 batches leave a false alarm of about 3 in 10,000, and seeds are fixed.
"""

import numpy as np
import pytest
from support.experiments import experiment

from warpgroup.csrc import StepWork, parse_policy
from warpgroup.experiment import Experiment
from warpgroup.records import Run, metrics
from warpgroup.sim import PerStep, StepTime, simulate
from warpgroup.sim.step_time.roofline import FS_PER_NS

REQUESTS = 60_000
BATCHES = 30
STANDARD_ERRORS = 4.1
SERVICE_NS = 1_000_000


def poisson_ns(rng: np.random.Generator, rate_per_service: float, count: int) -> np.ndarray:
    return np.cumsum(rng.exponential(SERVICE_NS / rate_per_service, count)).astype(np.int64)


def assert_mean(samples: np.ndarray, expected: float) -> None:
    means = np.array([batch.mean() for batch in np.array_split(samples, BATCHES)])
    error = means.std(ddof=1) / np.sqrt(BATCHES)
    assert abs(means.mean() - expected) < STANDARD_ERRORS * error, (
        f"mean {means.mean():.4f} +- {error:.4f}, expected {expected:.4f}"
    )
    assert error < 0.08 * expected, "the interval is too wide to say anything"


def run(made: Experiment, policy: str, step_time: StepTime) -> Run:
    return simulate(made, parse_policy(policy), step_time=step_time)


@pytest.mark.parametrize("load", [0.5, 0.7, 0.8])
def test_one_request_at_a_time_of_equal_length_is_an_m_d_1_queue(load):
    """One output token each: a request is one prefill step. Mean wait = load / (2 (1 - load)) services."""
    rng = np.random.default_rng(7)
    rows = [(int(t), 1, 1) for t in poisson_ns(rng, load, REQUESTS)]
    made = experiment(rows, kv_blocks=64)
    result = run(made, "count-continuous(n=1)", PerStep(lambda work: SERVICE_NS if work.prefill_tokens else 0))
    waits = (result.requests["admitted_ns"] - result.requests["arrival_ns"]) / SERVICE_NS
    assert_mean(waits, load / (2 * (1 - load)))


class SharedProcessor:
    """A step takes one unit for each decoding request and gives each one token; prefill is free."""

    UNIT_NS = 1_000
    description = "processor sharing"

    def cumulative_fs(self, work: StepWork, steps: int) -> int:
        return steps * work.decode_rows * self.UNIT_NS * FS_PER_NS


@pytest.mark.parametrize("spread", ["equal", "two lengths"])
def test_steps_that_take_as_long_as_the_batch_is_wide_are_processor_sharing(spread):
    """M/G/1-PS: mean E2E = mean work / (1 - load), whatever the distribution of lengths.

    With k requests each gets 1/k of the machine. Outputs of 40 tokens on average keep the discreteness of steps below
    the interval.
    """
    load = 0.7
    rng = np.random.default_rng(11)
    tokens = np.full(40_000, 41) if spread == "equal" else rng.choice([21, 101], 40_000, p=[0.75, 0.25])
    mean_ns = float((tokens - 1).mean()) * SharedProcessor.UNIT_NS
    arrivals = np.cumsum(rng.exponential(mean_ns / load, len(tokens))).astype(np.int64)
    rows = [(int(t), 1, int(n)) for t, n in zip(arrivals, tokens, strict=True)]
    made = experiment(rows, kv_blocks=4096, max_seqs=200, step_tokens=400, max_new_tokens=128)
    result = run(made, "count-continuous(n=200)", SharedProcessor())
    e2e = (result.requests["finish_ns"] - result.requests["arrival_ns"]) / mean_ns
    assert_mean(e2e, 1 / (1 - load))


@pytest.mark.parametrize("policy", ["count-static(n=4, timeout_s=0)", "count-continuous(n=8)", "paged", "ffd"])
def test_littles_law_holds_exactly(policy):
    """L = lambda W over a run that begins and ends empty: the area under "in the system" is the sum of the E2Es."""
    rng = np.random.default_rng(3)
    rows = [(int(t), int(rng.integers(1, 60)), int(rng.integers(1, 40))) for t in poisson_ns(rng, 0.05, 500)]
    result = simulate(experiment(rows, kv_blocks=40), parse_policy(policy))
    r = result.requests
    moments = sorted([(t, 1) for t in r["arrival_ns"].tolist()] + [(t, -1) for t in r["finish_ns"].tolist()])
    area, inside, before = 0, 0, moments[0][0]
    for t, change in moments:
        area += inside * (t - before)
        inside, before = inside + change, t
    assert inside == 0
    assert area == int((r["finish_ns"] - r["arrival_ns"]).sum())
    # And as the metrics module sees it: mean number in the system = throughput x mean E2E.
    summary = metrics.summarize(result)
    assert area / metrics.makespan_ns(result) == pytest.approx(
        summary.finished / summary.makespan_s * summary.e2e_s.mean, rel=1e-9
    )


def test_an_overloaded_engine_finishes_at_its_capacity():
    """lambda beyond the stability limit: throughput is what one request at a time can be served at."""
    rng = np.random.default_rng(5)
    rows = [(int(t), 1, 1) for t in poisson_ns(rng, 2.0, 5_000)]
    made = experiment(rows, kv_blocks=64)
    result = run(made, "count-continuous(n=1)", PerStep(lambda work: SERVICE_NS if work.prefill_tokens else 0))
    assert metrics.makespan_ns(result) == pytest.approx(5_000 * SERVICE_NS, rel=0.01)
