"""`wg.sweep`: the capacity of each policy."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape
from itertools import pairwise
from pathlib import Path
from sys import float_info
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from ...csrc import PolicySpec
from ...errors import InvalidScenario, as_given
from ...experiment import Limits, Slo
from ...records.sweep import Sweep
from ...sim import as_step_time
from ...sim.sweep.capacity import rates_of
from ...sim.sweep.journal import Journal
from ...sim.sweep.run import searches_of, sweep
from ...sim.sweep.search import Question
from ...sim.sweep.trials import Job, Record, SweepSetting
from ...workloads import DEFAULT_DEVICE, DEFAULT_MODEL, Trace, number_within, whole_within
from ..defaults import DEFAULT_POLICIES
from .inputs import experiment_of, policies_of

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class SweepResult:
    """The capacity of each policy: the highest rate of requests at which it meets the SLO.

    Attributes:
        record: what was asked and found, as in `sweep.json`.
    """

    record: Sweep

    def table(self) -> "pd.DataFrame":
        """One row a policy. Rates are in requests per second; a capacity that is missing is below the lowest rate."""
        import pandas as pd

        rows = [
            {
                "policy": each.policy,
                "capacity": each.capacity,
                "first_failing": each.first_failing,
                "rates_measured": len(each.points),
                "attainment_at_capacity": each.at_capacity.attainment if each.at_capacity else None,
            }
            for each in self.record.policies
        ]
        return pd.DataFrame(rows).set_index("policy")

    def __repr__(self) -> str:
        from ...reports.comparison.frontier import capacity_sentence

        count = len(self.record.policies)
        return f"<sweep of {count} {'policy' if count == 1 else 'policies'}: {capacity_sentence(self.record)}>"

    def _repr_html_(self) -> str:
        from ...reports.comparison.frontier import capacity_sentence

        return f"<p><b>{escape(capacity_sentence(self.record))}</b></p>{self.table().to_html()}"


def sweep_rates(
    trace: Trace,
    rates: str | Sequence[float],
    policies: str | Sequence[str | PolicySpec] = DEFAULT_POLICIES,
    *,
    seeds: int = 3,
    attainment: float = 0.9,
    every_rate: bool = False,
    model: str = DEFAULT_MODEL,
    device: str = DEFAULT_DEVICE,
    limits: Limits | None = None,
    slo: Slo | str | None = None,
    seed: int = 0,
) -> SweepResult:
    """Find the capacity of each policy, in this process. `warpgroup sweep` does the same on all cores.

    Arrivals are Poisson streams over the lengths of the trace.

    Args:
        rates: the grid in requests per second: "LOW:HIGH:STEP", or ascending numbers.
        seeds: simulate each rate on this many seeds, from `seed` on.
        attainment: the share of all requests that must meet the SLO.
        every_rate: measure every rate; else bisection.

    The other arguments are those of `wg.simulate`.

    Raises:
        WarpGroupError: an argument is wrong, or the model does not fit on the device.
        KeyboardInterrupt: a simulation was interrupted.
    """
    question = Question(_grid(rates), number_within("attainment", attainment, None, 1), every_rate)
    seeds = whole_within("seeds", seeds, 1)
    first = experiment_of(trace, model=model, device=device, limits=limits, slo=slo, seed=seed, arrivals="at-zero")
    specs = policies_of(policies)
    for spec in specs:
        first.scheduler(spec)  # a contradiction with the limits shows here, before anything is simulated
    experiments = {each: replace(first, seed=each) for each in range(first.seed, first.seed + seeds)}
    setting = SweepSetting(experiments, as_step_time(None, first))
    searches = searches_of(specs, setting, question, {})
    with TemporaryDirectory() as folder:
        return SweepResult(sweep(searches, setting, question, Journal.empty(Path(folder)), _InThisProcess(setting)))


class _InThisProcess:
    """Runs the simulations of a sweep one after the other: a script needs no `if __name__ == "__main__"`."""

    slots = 1

    def __init__(self, setting: SweepSetting) -> None:
        self._setting = setting
        self._ended: list[Record] = []

    def submit(self, job: Job) -> None:
        self._ended.append(job.run(self._setting))

    def results(self) -> list[Record]:
        ended, self._ended = self._ended, []
        return ended


def _grid(rates: str | Sequence[float]) -> list[float]:
    if isinstance(rates, str):
        return rates_of(rates)
    if not isinstance(rates, Sequence | np.ndarray):
        raise InvalidScenario(f"rates is {as_given(rates)}, expected a text such as '1:8:1', or a list of numbers")
    grid = [number_within(f"rates[{i}]", rate, None, float_info.max) for i, rate in enumerate(rates)]
    if not grid or any(low >= high for low, high in pairwise(grid)):
        raise InvalidScenario("rates must be positive numbers in ascending order, such as [1, 2, 4, 8]")
    return grid
