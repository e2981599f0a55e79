"""A prediction drawn over its measurement: a real run and the simulation of the same requests and policy."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...records import Run
from ...records.metrics import e2e_s, finished_mask
from ..figures.latency import quantiles, scale_seconds, scale_shares
from ..figures.time_axis import TimeAxis, time_mean
from ..judging.cases import case_of
from ..judging.study import Study
from ..numbers import GIB, gib
from ..page.svg import COLOURS, DASHES, INK, inline_svg, legend_above, page_style
from .validation import Validation, check_cells, has_steps, validate, worst_cells

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = np.ndarray[Any, Any]

DESCRIPTION = (
    "Memory in use over time, and the share of requests over the time to their last token: the measurement as a solid "
    "line, the prediction as a dashed line in a band that extends by the median error to both sides."
)
_REAL, _SIMULATED = COLOURS[0], COLOURS[1]


@dataclass(frozen=True, slots=True)
class Overlay:
    """One real run with its prediction, as the page shows it.

    Attributes:
        missed: number of limits that are not kept.
        checks: every figure, real and simulated, with its error.
        worst: the requests with the largest error of E2E.
    """

    title: str
    missed: int
    figure: str
    checks: Sequence[Mapping[str, str]]
    worst: Sequence[tuple[str, ...]]


def overlay(study: Study) -> list[Overlay] | None:
    """One overlay for each real run that was also simulated; None if there is no such pair."""
    return [_shown(validate(*pair), number) for number, pair in enumerate(pairs(study.runs))] or None


def pairs(runs: Sequence[Run]) -> list[tuple[Run, Run]]:
    """Each complete real run with the first complete prediction of the same case, if requests finished in both."""
    complete = [run for run in runs if run.info.complete]
    simulated = [run for run in complete if run.info.kind == "simulated" and not run.info.is_parity_check]
    found = ((real, _counterpart(real, simulated)) for real in complete if real.info.kind == "real")
    return [(real, other) for real, other in found if other is not None]


def _counterpart(real: Run, simulated: Sequence[Run]) -> Run | None:
    same = (run for run in simulated if case_of(run.info) == case_of(real.info))
    return next((run for run in same if (finished_mask(run) & finished_mask(real)).any()), None)


def _shown(validation: Validation, number: int) -> Overlay:
    return Overlay(
        title=validation.title,
        missed=len(validation.missed),
        figure=inline_svg(
            f"overlay{number}",
            overlay_figure(validation.real, validation.simulated),
            f"{validation.title}: predicted and measured",
            DESCRIPTION,
        ),
        checks=check_cells(validation),
        worst=worst_cells(validation),
    )


def overlay_figure(real: Run, simulated: Run) -> "Figure":
    """VRAM over time, if it was measured, and the distribution of E2E, for both runs."""
    from matplotlib.figure import Figure

    with page_style():
        if has_steps(real):
            figure = Figure(figsize=(9, 3.2), layout="constrained")
            memory, latency = figure.subplots(1, 2, width_ratios=[3, 2])
            _draw_memory(memory, real, simulated)
        else:
            figure = Figure(figsize=(5, 3.2), layout="constrained")
            latency = figure.subplots()
        handles = _draw_latency(latency, real, simulated)
        legend_above(figure, list(handles.values()), list(handles))
    return figure


def _draw_memory(panel: "Axes", real: Run, simulated: Run) -> None:
    axis = TimeAxis.of([real, simulated])
    measured, predicted = ((mean_used_bytes(run, axis.edges_s)) / GIB for run in (real, simulated))
    error = float(np.median(np.abs(predicted - measured)))
    panel.fill_between(axis.middles, predicted - error, predicted + error, color=_SIMULATED, alpha=0.25, linewidth=0)
    panel.plot(axis.middles, measured, color=_REAL, linewidth=1.4)
    panel.plot(axis.middles, predicted, color=_SIMULATED, linewidth=1.2, dashes=DASHES[1])
    panel.axhline(real.info.scenario.memory.budget_bytes / GIB, color=INK, linewidth=1)
    panel.set_title(f"error below {gib(error * GIB, 2)} for half of the time", fontsize=9)
    panel.set_ylabel("VRAM (GiB)")
    axis.label(panel)


def mean_used_bytes(run: Run, edges_s: Array) -> Array:
    """The time mean of the bytes in use in each bucket; between steps only the fixed bytes are in use."""
    steps, fixed = run.steps, run.info.scenario.memory.fixed_bytes
    half_grown = (steps["kv_bytes"] - steps["kv_start_bytes"]) / 2
    return fixed + time_mean(steps, steps["vram_used_bytes"] - half_grown - fixed, edges_s)


def _draw_latency(panel: "Axes", real: Run, simulated: Run) -> dict[str, Any]:
    both = finished_mask(real) & finished_mask(simulated)
    measured, predicted = (e2e_s(run)[both[finished_mask(run)]] for run in (real, simulated))
    error = float(np.median(np.abs(predicted / measured - 1)))
    seconds, shares = quantiles(predicted)
    band = panel.fill_betweenx(
        shares, seconds * (1 - error), seconds * (1 + error), color=_SIMULATED, alpha=0.25, linewidth=0
    )
    (line,) = panel.plot(*quantiles(measured), color=_REAL, linewidth=1.4)
    (dashed,) = panel.plot(seconds, shares, color=_SIMULATED, linewidth=1.2, dashes=DASHES[1])
    panel.set_title(f"error below {error:.1%} for half of the requests", fontsize=9)
    panel.set_xlabel("E2E (s)")
    panel.set_ylabel("share of requests")
    scale_seconds(panel)
    scale_shares(panel, int(both.sum()))
    return {"measured": line, "predicted": dashed, "predicted, ± the median error": band}
