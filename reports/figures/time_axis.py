"""The time axis that figures of several runs share: its end, its unit, and its buckets."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...records import Columns, Run
from ...records.metrics import finished_mask
from ..numbers import three_digits

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = np.ndarray[Any, Any]
_BUCKETS = 300
_LONGEST = 1.3  # times the fastest run; a slower run goes beyond the right edge, and its title says so


@dataclass(frozen=True, slots=True)
class TimeAxis:
    """An axis from 0 to `end_s` seconds, labelled in a unit of `unit_s` seconds."""

    end_s: float
    unit: str
    unit_s: int

    @classmethod
    def of(cls, runs: Sequence[Run]) -> "TimeAxis":
        """An axis for the slowest run, but at most `_LONGEST` times as long as the fastest run."""
        ends = [_end_s(run) for run in runs]
        served = [end for end, run in zip(ends, runs, strict=True) if run.info.complete and finished_mask(run).any()]
        end_s = min(max(ends), _LONGEST * min(served, default=max(ends))) or 1.0
        unit_s, unit = next((each for each in ((3600, "h"), (60, "min")) if end_s >= 5 * each[0]), (1, "s"))
        return cls(end_s, unit, unit_s)

    @property
    def edges_s(self) -> Array:
        """The edges of the buckets, in seconds."""
        return np.linspace(0, self.end_s, _BUCKETS + 1)

    @property
    def middles(self) -> Array:
        """The middles of the buckets, in the unit of the axis."""
        edges = self.edges_s
        return np.asarray((edges[:-1] + edges[1:]) / 2 / self.unit_s)

    def label(self, panel: "Axes") -> None:
        """Set the limits and the label of a panel's time axis."""
        panel.set_xlim(0, self.end_s / self.unit_s)
        panel.set_xlabel(f"time ({self.unit})")

    def beyond(self, run: Run) -> str:
        """What the title of a panel adds for a run that is longer than the axis; empty for other runs."""
        end_s = _end_s(run)
        return f"; continues to {three_digits(end_s / self.unit_s)} {self.unit}" if end_s > 1.01 * self.end_s else ""


def _end_s(run: Run) -> float:
    """When the last request or step ended, on the clock of the record, even if nothing finished."""
    steps, requests = run.steps, run.requests
    last_step = (steps["start_ns"] + steps["duration_ns"]).max(initial=0)
    return float(max(last_step, requests["finish_ns"].max(initial=0), requests["arrival_ns"].max(initial=0))) / 1e9


def area_under(middles: Array, tops: Array, floor: float = 0) -> tuple[Array, Array]:
    """The corners of the area between a floor and a curve. A band between two curves would have twice as many."""
    x = np.concatenate([middles[:1], middles, middles[-1:]])
    return x, np.concatenate([[floor], tops, [floor]])


def envelope(time_s: Array, values: Array, edges_s: Array) -> tuple[Array, Array]:
    """The minimum and maximum of a piecewise linear curve in each bucket."""
    buckets = len(edges_s) - 1
    at_edges = np.interp(edges_s, time_s, values) if len(time_s) else np.zeros(buckets + 1)
    least, most = np.minimum(at_edges[:-1], at_edges[1:]), np.maximum(at_edges[:-1], at_edges[1:])
    inside = time_s < edges_s[-1]
    bucket = (time_s[inside] / edges_s[-1] * buckets).astype(int)
    np.minimum.at(least, bucket, values[inside])
    np.maximum.at(most, bucket, values[inside])
    return least, most


def time_mean(steps: Columns, values: Array, edges_s: Array) -> Array:
    """The time mean in each bucket of a value that is constant in each step, and 0 between steps."""
    if not len(values):
        return np.zeros(len(edges_s) - 1)
    begin_s, duration_s = steps["start_ns"] / 1e9, steps["duration_ns"] / 1e9
    area = np.cumsum(values * duration_s)
    time_s = np.stack([begin_s, begin_s + duration_s], axis=1).ravel()
    area_then = np.stack([np.append(0, area[:-1]), area], axis=1).ravel()
    return np.asarray(np.diff(np.interp(edges_s, time_s, area_then)) / np.diff(edges_s))
