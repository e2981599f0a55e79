"""Figures as inline SVG that follows the page: its ink, its width, light or dark."""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK = "#010203"
"""Drawn in this colour, text and axes take the page's own: it is replaced by currentColor."""
# Okabe and Ito's colours, but for black and yellow, which a dark or a light page would swallow.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
DASHES = ((), (5, 2), (1.5, 1.5), (6, 2, 1.5, 2), (3, 1, 1, 1), (9, 3))
OOM = "#D40000"


@contextmanager
def page_style() -> Iterator[Any]:
    """seaborn in the page's style; matplotlib's global state is left as it was."""
    import matplotlib
    import seaborn as sns

    style: Any = {
        "svg.fonttype": "none",
        "svg.hashsalt": "warpgroup",
        "font.family": "sans-serif",
        "font.sans-serif": ["DejaVu Sans"],
        "font.size": 9,
        "axes.titlesize": 10,
        "axes.titlelocation": "left",
        "legend.frameon": False,
        **dict.fromkeys(
            ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color", "grid.color"),
            INK,
        ),
        "grid.alpha": 0.15,
    }
    with sns.axes_style("ticks", rc={"axes.grid": True}), matplotlib.rc_context(style):
        yield sns


def inline_svg(name: str, figure: "Figure", title: str, description: str) -> str:
    """The figure as an SVG element: as wide as its place, with a title and a description for who cannot see it.

    `name` goes before every id in it, so that several figures can share a page.
    """
    buffer = io.StringIO()
    with page_style():
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    drawn = buffer.getvalue()
    body = drawn[drawn.index(">", drawn.index("<svg")) + 1 :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = body.replace(INK, "currentColor").replace("'DejaVu Sans'", "system-ui, sans-serif")
    body = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", body)
    box = re.search(r'viewBox="([^"]+)"', drawn)
    assert box is not None, "matplotlib writes a viewBox"
    return (
        f'<svg viewBox="{box[1]}" role="img" xmlns="http://www.w3.org/2000/svg" '
        f'xmlns:xlink="http://www.w3.org/1999/xlink"><title>{escape(title)}</title>'
        f"<desc>{escape(description)}</desc>{body}"
    )
