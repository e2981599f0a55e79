"""The plots of one run, drawn plainly with seaborn. Reports have figures with more in them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...experiment import GIB
from ...records import Run
from ...records.metrics import e2e_s, tpot_s, ttft_s
from ...reports.figures.request_timeline import request_timeline
from ...reports.figures.vram import used_curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_REQUESTS = 200
"""A timeline of more could not be read."""


@dataclass(frozen=True, slots=True)
class RunPlots:
    """The plots of a run. Each takes axes to draw on, or makes a figure, and returns the axes."""

    run: Run

    def vram(self, ax: "Axes | None" = None) -> "Axes":
        """VRAM in use over time, and the budget."""
        import seaborn as sns

        axes = _axes(ax)
        times_s, used = used_curve(self.run)
        sns.lineplot(x=times_s, y=used / GIB, ax=axes, estimator=None, sort=False, label="in use")
        sns.lineplot(
            x=self.run.steps["start_ns"] / 1e9,
            y=self.run.steps["vram_budget_bytes"] / GIB,
            ax=axes,
            estimator=None,
            drawstyle="steps-post",
            color="black",
            label="budget",
        )
        axes.set(xlabel="time (s)", ylabel="VRAM (GiB)", title=f"VRAM under {self.run.info.label}")
        return axes

    def latency(self, ax: "Axes | None" = None) -> "Axes":
        """The share of finished requests whose TTFT, TPOT and E2E are below a time."""
        import seaborn as sns

        axes = _axes(ax)
        for name, values in (("TTFT", ttft_s(self.run)), ("TPOT", tpot_s(self.run)), ("E2E", e2e_s(self.run))):
            known = values[~np.isnan(values) & (values > 0)]
            if len(known):
                sns.ecdfplot(x=known, ax=axes, label=name, log_scale=True)
        if axes.get_legend_handles_labels()[0]:
            axes.legend()
        axes.set(xlabel="time (s)", ylabel="share of finished requests", title=f"Latency under {self.run.info.label}")
        return axes

    def timeline(self, ax: "Axes | None" = None) -> "Axes":
        """When each request waited, was prefilled and decoded: one line a request, in order of arrival.

        Of a longer trace, the first 200 requests are drawn.
        """
        import seaborn as sns

        axes = _axes(ax)
        phases_of = request_timeline(self.run)
        rows = np.argsort(phases_of.arrival_ns, kind="stable")[:_MOST_REQUESTS]
        colours = sns.color_palette("colorblind", 3)
        phases = (
            ("waiting", phases_of.arrival_ns, phases_of.admitted_ns),
            ("prefill", phases_of.admitted_ns, phases_of.first_token_ns),
            ("decode", phases_of.first_token_ns, phases_of.end_ns),
        )
        for (name, begin_ns, end_ns), colour in zip(phases, colours, strict=True):
            axes.hlines(np.arange(len(rows)), begin_ns[rows] / 1e9, end_ns[rows] / 1e9, color=colour, label=name)
        axes.legend()
        axes.set(xlabel="time (s)", ylabel="request", title=f"Requests under {self.run.info.label}")
        return axes


def _axes(ax: "Axes | None") -> "Axes":
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots(layout="constrained")[1]
