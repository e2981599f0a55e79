"""The figures of a comparison, as the page has them."""

from collections.abc import Sequence

from ..records import Run
from . import composition_figure, gantt_figure, latency_figure, vram_figure, waste_figure
from .svg import inline_svg
from .verdict import labels_of


def figures(runs: Sequence[Run]) -> dict[str, str]:
    """Each as an SVG element, by the name that its template knows it by."""
    compared = ", ".join(labels_of([run.info for run in runs]))
    drawn = {
        "vram": (vram_figure.vram_figure, vram_figure),
        "composition": (composition_figure.composition_figure, composition_figure),
        "gantt": (gantt_figure.gantt_figure, gantt_figure),
        "waste": (waste_figure.waste_figure, waste_figure),
        "latency": (latency_figure.latency_figure, latency_figure),
    }
    return {
        name: inline_svg(name, draw(runs), f"{about.TITLE}: {compared}", about.DESCRIPTION)
        for name, (draw, about) in drawn.items()
    }
