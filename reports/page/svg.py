"""Figures as inline SVG in the colours and width of the page, light or dark."""

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK = "#010203"
"""Text and axes have this colour in a figure; it is replaced by currentColor, the text colour of the page."""
# The colours of Okabe and Ito without black and yellow, which are hard to see on a dark or a light page.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
DASHES = ((), (5, 2), (1.5, 1.5), (6, 2, 1.5, 2), (3, 1, 1, 1), (9, 3))
OOM = "#D40000"
_LEGIBLE = 1.4  # least CSS pixels per point: text of 8 points is then at least 11 pixels high
_THIN, _THICK = 1.4, 2.8  # points
_LINE_LETTERS, _HANDLE_LETTERS = 140, 7  # characters of a legend as wide as a figure; of a handle with its space
_TITLE_LETTERS, _LABEL_LETTERS = 115, 100  # characters of a panel's title on one line; of a label
# What a request, a row of a batch or a computed position is for. Mid tones are visible on light and dark pages.
PHASES = {
    "queued": "#8C959F",
    "prefill": "#E69F00",
    "decode": "#0072B2",
    "evicted": "#D55E00",
    "padding": "#CC79A7",
}


@contextmanager
def page_style() -> Iterator[Any]:
    """seaborn in the style of the page. The global state of matplotlib does not change."""
    import matplotlib
    import seaborn as sns

    style: Any = {
        "svg.fonttype": "none",
        "svg.hashsalt": "warpgroup",
        "font.family": "sans-serif",
        "font.sans-serif": ["DejaVu Sans"],
        "font.size": 9,
        "text.parse_math": False,  # a $ in a name is no formula
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


def line_style(position: int, *, wins: bool = False) -> dict[str, Any]:
    """Colour and dashes of a policy's line. Lines of the same colour have different dashes. The winner's line is thick
    and lies over the others.
    """
    dashes = DASHES[(position + position // len(COLOURS)) % len(DASHES)]
    style: dict[str, Any] = {"color": COLOURS[position % len(COLOURS)], "dashes": dashes or (None, None)}
    return style | ({"linewidth": _THICK, "zorder": 3} if wins else {"linewidth": _THIN})


def inline_svg(name: str, figure: "Figure", title: str, description: str) -> str:
    """The figure as an SVG element, as wide as its place, with a title and a description for screen readers.

    `name` is the prefix of every id in it, so that several figures can share a page. Ids are numbered, because
    matplotlib derives them from coordinates to the last bit, which the layout solver does not reproduce.
    """
    buffer = io.StringIO()
    with page_style():
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    drawn = buffer.getvalue()
    body = drawn[drawn.index(">", drawn.index("<svg")) + 1 :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    numbers: dict[str, int] = {}
    body = re.sub(r"<[^>]*>", lambda tag: _page_tag(tag[0], name, numbers), re.sub(r">\s+<", "><", body))
    box = re.search(r'viewBox="([^"]+)"', drawn)
    assert box is not None, "matplotlib writes a viewBox"
    legible = f"--legible: {_LEGIBLE * float(box[1].split()[2]):.0f}px"
    return (
        f'<svg viewBox="{box[1]}" style="{legible}" role="img" xmlns="http://www.w3.org/2000/svg" '
        f'xmlns:xlink="http://www.w3.org/1999/xlink"><title>{escape(title)}</title>'
        f"<desc>{escape(description)}</desc>{body}"
    )


def _page_tag(tag: str, name: str, numbers: dict[str, int]) -> str:
    """A tag in the colour and font of the page, with the name of the figure and a number for each id.

    Text between tags is not changed, since a user may have written it.
    """
    tag = _compact(tag).replace(INK, "currentColor").replace("'DejaVu Sans'", "system-ui, sans-serif")
    return re.sub(
        r'(\bid="|href="#|url\(#)([^")]+)', lambda m: f"{m[1]}{name}-{numbers.setdefault(m[2], len(numbers))}", tag
    )


def _compact(tag: str) -> str:
    """The same drawing in a third of the bytes: matplotlib writes six decimals and an id for every group."""
    tag = re.sub(r'<g id="[^"]*"', "<g", tag)
    tag = re.sub(r' transform="rotate\(-0 [^"]*"', "", tag)
    return re.sub(r' (d|x|y)="([^"]*)"', lambda found: f' {found[1]}="{_rounded(found[2])}"', tag)


def _rounded(path: str) -> str:
    """The path rounded to a tenth of a point, or to a hundredth in small shapes."""
    path = re.sub(r"-?\d+\.\d+", lambda number: _four_digits(float(number[0])), path)
    return re.sub(r"\s*([A-Za-z])\s*", r"\1", path).strip()


def _four_digits(value: float) -> str:
    return f"{value:.{1 if abs(value) >= 100 else 2}f}".rstrip("0").rstrip(".")


def shortened(label: str) -> str:
    """A label that fits into a figure: the middle of a long one is left out."""
    if len(label) <= _LABEL_LETTERS:
        return label
    return f"{label[: _LABEL_LETTERS * 2 // 3]}…{label[-_LABEL_LETTERS // 3 + 1 :]}"


def title(panel: "Axes", label: str, facts: str) -> None:
    """Set the title of a panel: the label of its run and its facts, on one line if they fit."""
    end = ":\n" if len(label) + len(facts) > _TITLE_LETTERS else ": "
    panel.set_title(f"{shortened(label)}{end}{facts}")


def legend_above(figure: "Figure", handles: "Sequence[Artist]", labels: Sequence[str]) -> None:
    """Draw one legend above all panels, in one row, or in as many columns as fit."""
    labels = [shortened(label) for label in labels]
    letters = [len(label) + _HANDLE_LETTERS for label in labels]
    columns = len(labels) if sum(letters) <= _LINE_LETTERS else max(1, _LINE_LETTERS // max(letters))
    figure.legend(handles, labels, loc="outside upper left", ncols=columns, fontsize=8)
