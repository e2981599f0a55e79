"""The figures of a comparison, as the page shows them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...records import Run
from ..figures import composition as composition_figure
from ..figures import gantt as gantt_figure
from ..figures import latency as latency_figure
from ..figures import vram as vram_figure
from ..figures import waste as waste_figure
from ..judging.verdict import Verdict
from ..page.svg import inline_svg

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PANELS = {
    "vram": (vram_figure.vram_figure, vram_figure.TITLE, vram_figure.DESCRIPTION),
    "composition": (composition_figure.composition_figure, composition_figure.TITLE, composition_figure.DESCRIPTION),
    "gantt": (gantt_figure.gantt_figure, gantt_figure.TITLE, gantt_figure.DESCRIPTION),
}


@dataclass(frozen=True, slots=True)
class Panels:
    """A figure with a panel for each run.

    Attributes:
        svg: the panels of the runs that matter most.
        more: the panels of the other runs, on the same axes; empty if there are none.
    """

    svg: str
    more: str


def figures(runs: Sequence[Run], judged: Verdict) -> dict[str, object]:
    """Each figure as an SVG element, under the name that its template uses, and the labels of the runs in `more`."""
    labels = [each.label for each in judged.contenders]
    shown = protagonists(judged)
    folded = [position for position in range(len(runs)) if position not in shown]

    def svg(name: str, figure: "Figure", title: str, description: str, positions: Sequence[int]) -> str:
        return inline_svg(name, figure, f"{title}: {', '.join(labels[each] for each in positions)}", description)

    def panels(name: str, draw: Callable[..., "Figure"], title: str, description: str) -> Panels:
        drawn = [
            svg(each, draw(runs, positions), title, description, positions) if positions else ""
            for each, positions in ((name, shown), (f"{name}more", folded))
        ]
        return Panels(*drawn)

    everyone = range(len(runs))
    waste, latency = waste_figure.waste_figure(runs), latency_figure.latency_figure(runs, judged.sole_winner)
    return {
        **{name: panels(name, *about) for name, about in _PANELS.items()},
        "waste": svg("waste", waste, waste_figure.TITLE, waste_figure.DESCRIPTION, everyone),
        "latency": svg("latency", latency, latency_figure.TITLE, latency_figure.DESCRIPTION, everyone),
        "folded": [labels[position] for position in folded],
    }


def protagonists(judged: Verdict) -> list[int]:
    """Positions of the runs that a reader wants to see first: the winner, the runner-up, the best count policy, and
    the first policy that pads its batches.
    """
    ranked = [judged.contenders[position] for position in judged.ranking]
    count = next((each for each in [*ranked, *judged.contenders] if each.counts_requests), None)
    padded = next((each for each in judged.contenders if each.info.is_padded), None)
    return sorted({each.position for each in [*ranked[:2], count, padded] if each is not None})
