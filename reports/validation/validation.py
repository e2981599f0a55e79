"""Compare a simulation with the real run of the same scenario: the error of every figure, and the worst requests."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ...errors import InvalidRun
from ...records import Run
from ...records.metrics import e2e_s, finished_mask, summary_of, tpot_s, ttft_s
from ..figures.latency import latency_figure
from ..figures.vram import vram_figure
from ..numbers import ENOUGH_FOR_P99, GIB, three_digits
from ..page.page import render_page, write_page
from ..page.svg import inline_svg

Array = np.ndarray[Any, Any]

_SAMPLES = 400
_WORST = 10
_LONGER = 2.0

LIMITS = {
    "throughput": 0.02,
    "makespan": 0.02,
    "E2E mean": 0.03,
    "TTFT mean": 0.05,
    "TTFT p90": 0.05,
    "TTFT p99": 0.05,
    "TPOT p90": 0.05,
    "TPOT p99": 0.05,
    "E2E p90": 0.05,
    "E2E p99": 0.05,
    "peak VRAM": 0.01,
    "step median": 0.03,
    "step p95": 0.08,
}
"""The largest error of each figure that a simulation may have, as a share; for steps, of the step duration."""


class StepErrors(Protocol):
    """The errors of the predicted durations of a run's own steps, as shares."""

    @property
    def median(self) -> float:
        """The median over all steps."""

    @property
    def p95(self) -> float:
        """The 95th percentile."""


@dataclass(frozen=True, slots=True)
class ValidationCheck:
    """One figure, real and simulated.

    Attributes:
        error: simulated / real - 1; for TTFT above capacity, (simulated - real) / mean E2E. None if only the real
            value is 0.
        interval: the 95 % interval of the error, from resampled requests; None if there is no sample.
        limit: the largest error that is allowed; None if there is no limit.
    """

    name: str
    real: float
    simulated: float
    error: float | None
    interval: tuple[float, float] | None = None
    limit: float | None = None

    @property
    def holds(self) -> bool:
        """Whether the limit is kept, if there is one."""
        return self.limit is None or (self.error is not None and abs(self.error) <= self.limit)


@dataclass(frozen=True, slots=True)
class Validation:
    """The comparison of one scenario under one policy."""

    real: Run
    simulated: Run
    checks: list[ValidationCheck]
    worst: list[tuple[int, int, int, float, float]]
    """The requests with the largest error of E2E: row, prompt, output, real and simulated seconds."""

    @property
    def title(self) -> str:
        """Scenario and policy."""
        return f"{self.real.info.scenario.name}: {self.real.info.policy}"

    @property
    def missed(self) -> list[ValidationCheck]:
        """The checks whose limit is not kept."""
        return [check for check in self.checks if not check.holds]


def validate(real: Run, simulated: Run, steps: StepErrors | None = None, *, is_wait_known: bool = True) -> Validation:
    """Compare a simulation with a real run of the same requests.

    Args:
        steps: the errors of the predicted durations of the run's own steps, if known.
        is_wait_known: whether one clock timed arrivals and tokens. If not, the time between an arrival and a token is
            unknown, and only TPOT has limits.

    Raises InvalidRun: the two runs have different requests, or no request finished in both.
    """
    if real.info.scenario.trace.content_hash != simulated.info.scenario.trace.content_hash:
        raise InvalidRun("the simulation and the run have different requests: simulate the requests of the run")
    both = finished_mask(real) & finished_mask(simulated)
    if not both.any():
        raise InvalidRun(f"no request finished both in the run and in its simulation: {real.info.policy}")
    checks = [*_whole(real, simulated), *_latencies(real, simulated, both)]
    if not is_wait_known:
        checks = [check if check.name.startswith("TPOT") else replace(check, limit=None) for check in checks]
    if steps is not None:
        checks += [
            ValidationCheck("step median", 0, 0, steps.median, None, LIMITS["step median"]),
            ValidationCheck("step p95", 0, 0, steps.p95, None, LIMITS["step p95"]),
        ]
    return Validation(real, simulated, checks, _worst(real, simulated, both))


def _whole(real: Run, simulated: Run) -> list[ValidationCheck]:
    a, b = summary_of(real.info), summary_of(simulated.info)
    pairs = {
        "makespan": (a.makespan_s, b.makespan_s),
        "throughput": (a.total_tok_s, b.total_tok_s),
        "finished": (a.finished, b.finished),
    }
    if has_steps(real):
        pairs |= {
            "peak VRAM": (a.peak_vram_bytes / GIB, b.peak_vram_bytes / GIB),
            "preemptions": (a.preemptions, b.preemptions),
            "steps out of memory": (a.ooms, b.ooms),
        }
    return [ValidationCheck(name, x, y, _ratio(y - x, x), None, LIMITS.get(name)) for name, (x, y) in pairs.items()]


def has_steps(run: Run) -> bool:
    """Whether the run has steps; the log of another engine has none."""
    return len(run.steps["step"]) > 0


def _latencies(real: Run, simulated: Run, both: Array) -> list[ValidationCheck]:
    end = "p99" if both.sum() >= ENOUGH_FOR_P99 else "p90"
    rank = 0.99 if end == "p99" else 0.9
    statistics: dict[str, Callable[[Array], Array]] = {
        "mean": lambda values: values.mean(axis=-1),
        "p50": lambda values: np.quantile(values, 0.5, axis=-1),
        end: lambda values: np.quantile(values, rank, axis=-1),
    }
    scale = float(_of(real, e2e_s, both).mean()) if _is_above_capacity(real) else 0.0
    found = []
    for metric, values_of in (("TTFT", ttft_s), ("TPOT", tpot_s), ("E2E", e2e_s)):
        several = both & (real.requests["output_tokens"] > 1) if metric == "TPOT" else both
        if not several.any():
            continue
        x, y = _of(real, values_of, several), _of(simulated, values_of, several)
        over = scale if metric == "TTFT" else 0.0
        for name, statistic in statistics.items():
            found.append(_check(f"{metric} {name}", x, y, statistic, over))
    return found


def _check(name: str, x: Array, y: Array, statistic: Callable[[Array], Array], over: float) -> ValidationCheck:
    rng = np.random.default_rng(0)
    sampled = rng.integers(0, len(x), (_SAMPLES, len(x)))
    reals, simulateds = statistic(x[sampled]), statistic(y[sampled])
    off = (simulateds - reals) / (over or np.maximum(reals, 1e-12))
    a, b = float(statistic(x)), float(statistic(y))
    low, high = np.quantile(off, (0.025, 0.975))
    return ValidationCheck(name, a, b, _ratio(b - a, over or a), (float(low), float(high)), LIMITS.get(name))


def _of(run: Run, values_of: Callable[[Run], Array], mask: Array) -> Array:
    """A metric of the masked requests. The metric itself covers all finished requests."""
    finished = finished_mask(run)
    spread = np.full(len(finished), np.nan)
    spread[finished] = values_of(run)
    return np.asarray(spread[mask])


def _is_above_capacity(run: Run) -> bool:
    """Whether requests arrive faster than they are served: all at once, or the last ones wait much longer."""
    arrivals = run.requests["arrival_ns"]
    if arrivals.min() == arrivals.max():
        return True
    order = np.argsort(arrivals[finished_mask(run)], kind="stable")
    waited = ttft_s(run)[order]
    fifth = max(len(waited) // 5, 1)
    return bool(waited[-fifth:].mean() > _LONGER * waited[:fifth].mean())


def _worst(real: Run, simulated: Run, both: Array) -> list[tuple[int, int, int, float, float]]:
    x, y = _of(real, e2e_s, both), _of(simulated, e2e_s, both)
    rows = np.flatnonzero(both)
    furthest = np.argsort(-np.abs(y - x), kind="stable")[:_WORST]
    prompts, outputs = real.requests["prompt_tokens"], real.requests["output_tokens"]
    return [(int(rows[i]), int(prompts[rows[i]]), int(outputs[rows[i]]), float(x[i]), float(y[i])) for i in furthest]


def _ratio(part: float, whole: float) -> float | None:
    if part == 0:
        return 0.0
    return part / whole if whole else None


def as_table(validations: Sequence[Validation]) -> list[dict[str, Any]]:
    """One row per figure: what --json prints."""
    return [
        {
            "scenario": each.real.info.scenario.name,
            "policy": each.real.info.policy,
            "figure": check.name,
            "real": check.real,
            "simulated": check.simulated,
            "error": check.error,
            "interval": check.interval,
            "limit": check.limit,
            "holds": check.holds,
        }
        for each in validations
        for check in each.checks
    ]


def write_validation(validations: Sequence[Validation], path: Path) -> None:
    """Write one self-contained HTML page atomically. Raises OutputRefused if it cannot be written."""
    page = render_page(
        "validation.html.jinja",
        enough_for_p99=ENOUGH_FOR_P99,
        validations=[_shown(each, number) for number, each in enumerate(validations)],
        missed=sum(len(each.missed) for each in validations),
        limited=sum(check.limit is not None for each in validations for check in each.checks),
        models=sorted({each.simulated.info.scenario.step_time for each in validations}),
        machines=sorted({each.real.info.scenario.step_time for each in validations}),
    )
    write_page(page, path)


def _shown(validation: Validation, number: int) -> Mapping[str, Any]:
    runs = (validation.real, validation.simulated)
    return {
        "title": validation.title,
        "missed": len(validation.missed),
        "checks": check_cells(validation),
        "worst": worst_cells(validation),
        "latency": inline_svg(
            f"latency{number}",
            latency_figure(runs),
            f"{validation.title}: TTFT, TPOT and E2E, real and simulated",
            "The share of requests over the time to the first token, the mean time per token, and the time to the last "
            "token.",
        ),
        "vram": inline_svg(
            f"vram{number}",
            vram_figure(runs if has_steps(validation.real) else runs[1:]),
            f"{validation.title}: VRAM over time, real (if known) and simulated",
            "Memory in use between the weights and the budget.",
        ),
    }


def check_cells(validation: Validation) -> list[dict[str, str]]:
    """The checks as text."""
    return [_cells(check) for check in validation.checks]


def _cells(check: ValidationCheck) -> dict[str, str]:
    is_share = check.name.startswith("step ")
    interval = check.interval
    return {
        "name": check.name,
        "real": "" if is_share else three_digits(check.real),
        "simulated": "" if is_share else three_digits(check.simulated),
        "error": "" if check.error is None else f"{check.error:{'' if is_share else '+'}.1%}",
        "interval": f"{interval[0]:+.1%} to {interval[1]:+.1%}" if interval else "",
        "limit": "" if check.limit is None else f"{check.limit:.0%}",
        "kept": "" if check.limit is None else ("yes" if check.holds else "NO"),
    }


def worst_cells(validation: Validation) -> list[tuple[str, ...]]:
    """The requests with the largest error of E2E, as text."""
    return [
        (f"{row:,}", f"{prompt:,}", f"{output:,}", three_digits(a), three_digits(b), f"{b / a - 1:+.1%}")
        for row, prompt, output, a, b in validation.worst
    ]
