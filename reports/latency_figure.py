"""How TTFT and E2E are spread over requests, one line a policy."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..metrics import e2e_s, ttft_s
from ..records import Run
from .svg import COLOURS, DASHES, INK, page_style
from .verdict import labels_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = np.ndarray[Any, Any]
_POINTS = 200


def latency_figure(runs: Sequence[Run]) -> "Figure":
    """Two panels, TTFT with its SLO and E2E: the share of finished requests that were served within a time."""
    import pandas as pd
    from matplotlib.figure import Figure

    with page_style() as sns:
        figure = Figure(figsize=(9, 3.6), layout="constrained")
        panels = figure.subplots(1, 2, sharey=True)
        policies = labels_of([run.info for run in runs])
        for panel, name, values_of in zip(panels, ("TTFT", "E2E"), (ttft_s, e2e_s), strict=True):
            table = pd.concat([_quantiles(values_of(run), label) for run, label in zip(runs, policies, strict=True)])
            sns.lineplot(
                table,
                x="seconds",
                y="share",
                hue="policy",
                style="policy",
                hue_order=policies,
                style_order=policies,
                palette=[COLOURS[i % len(COLOURS)] for i in range(len(runs))],
                dashes=[DASHES[i % len(DASHES)] for i in range(len(runs))],
                estimator=None,
                sort=False,
                linewidth=1.6,
                ax=panel,
                legend="auto" if name == "E2E" else False,
            )
            panel.set_xscale("log")
            panel.set_xlabel(f"{name} (s)")
            panel.set_ylim(0, 1.02)
        slo = runs[0].info.scenario.slo_ttft_s
        panels[0].axvline(slo, color=INK, linewidth=1, linestyle=(0, (1, 2)))
        panels[0].annotate(
            f"SLO {slo:g} s", (slo, 1.02), xytext=(0, 2), textcoords="offset points", ha="center", fontsize=8, color=INK
        )
        panels[0].set_ylabel("share of finished requests within that time")
        if table["seconds"].notna().any():
            sns.move_legend(panels[1], "upper left", bbox_to_anchor=(1.0, 1.0), title=None)
    return figure


def _quantiles(values: Array, policy: str) -> Any:
    """The distribution as a few hundred points, closer together in the tail."""
    import pandas as pd

    if not len(values):
        return pd.DataFrame({"seconds": [np.nan], "share": [np.nan], "policy": [policy]})
    shares = np.unique(
        np.concatenate([np.linspace(0, 0.9, _POINTS), 1 - np.geomspace(0.1, 0.5 / len(values), _POINTS // 2), [1.0]])
    )
    seconds = np.maximum(np.quantile(values, shares, method="inverted_cdf"), 1e-3)
    return pd.DataFrame({"seconds": seconds, "share": shares, "policy": policy})
