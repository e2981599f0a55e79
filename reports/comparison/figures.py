"""The figures of a comparison, as the page has them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...records import Run, RunInfo
from ..figures import composition as composition_figure
from ..figures import gantt as gantt_figure
from ..figures import latency as latency_figure
from ..figures import vram as vram_figure
from ..figures import waste as waste_figure
from ..judging.verdict import Verdict, labels_of
from ..page.svg import inline_svg

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_BASELINE = "count-static"
_PANELS = {
    "vram": (vram_figure.vram_figure, vram_figure.TITLE, vram_figure.DESCRIPTION),
    "composition": (composition_figure.composition_figure, composition_figure.TITLE, composition_figure.DESCRIPTION),
    "gantt": (gantt_figure.gantt_figure, gantt_figure.TITLE, gantt_figure.DESCRIPTION),
}


@dataclass(frozen=True, slots=True)
class Panels:
    """A figure with a panel for each run.

    Attributes:
        svg: of the runs that matter most.
        more: of the others, on the same axes; empty if there are none.
    """

    svg: str
    more: str


def figures(runs: Sequence[Run], judged: Verdict) -> dict[str, object]:
    """Each as an SVG element, by the name that its template knows it by, and the names of the runs in `more`."""
    infos = [run.info for run in runs]
    labels = labels_of(infos)
    shown = protagonists(infos, judged)
    folded = [position for position in range(len(runs)) if position not in shown]
    winner = judged.winner if judged.contested and not judged.tied else None

    def svg(name: str, figure: "Figure", title: str, description: str, positions: Sequence[int]) -> str:
        return inline_svg(name, figure, f"{title}: {', '.join(labels[each] for each in positions)}", description)

    def panels(name: str, draw: Callable[..., "Figure"], title: str, description: str) -> Panels:
        drawn = [
            svg(each, draw(runs, positions), title, description, positions) if positions else ""
            for each, positions in ((name, shown), (f"{name}more", folded))
        ]
        return Panels(*drawn)

    everybody = range(len(runs))
    waste, latency = waste_figure.waste_figure(runs), latency_figure.latency_figure(runs, winner)
    return {
        **{name: panels(name, *about) for name, about in _PANELS.items()},
        "waste": svg("waste", waste, waste_figure.TITLE, waste_figure.DESCRIPTION, everybody),
        "latency": svg("latency", latency, latency_figure.TITLE, latency_figure.DESCRIPTION, everybody),
        "folded": [labels[position] for position in folded],
    }


def protagonists(infos: Sequence[RunInfo], judged: Verdict) -> list[int]:
    """Positions of the runs that a reader wants to see first: the winner, the runner-up, the best count and the
    classic baseline.
    """

    def is_a(position: int, policy: str) -> bool:
        return infos[position].policy.startswith(policy)

    counts = (position for position in [*judged.ranking, *range(len(infos))] if is_a(position, "count-"))
    baselines = (position for position in range(len(infos)) if is_a(position, _BASELINE))
    chosen = [*judged.ranking[:2], next(counts, None), next(baselines, None)]
    return sorted({position for position in chosen if position is not None})
