"""Which switch brought what: a waterfall from the baseline to the winner."""

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from ...records import Run
from ...records.metrics import TIE, Summary, close, goodput_decides
from ..judging.factor import LARGEST_FACTOR
from ..judging.table import Cell, Table
from ..judging.verdict import summary_of
from ..page.numbers import ENOUGH_FOR_P99, seconds, three_digits, typeset
from ..page.svg import COLOURS, INK, inline_svg, page_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

UP, DOWN = COLOURS[2], COLOURS[1]
_WIDTH_PT = 320
_LINE_CHARACTERS = 60
_BARS_SHARE = 0.62  # of the panel's width: the numbers need the rest


@dataclass(frozen=True, slots=True)
class Attribution:
    """What the report shows of a ladder of runs: a sentence, the waterfall as SVG, and a row of figures a rung."""

    sentence: str
    waterfall: str
    table: Table


@dataclass(frozen=True, slots=True)
class Rung:
    """A switch, the policy that it leads to, and the measure before and after it."""

    switch: str
    policy: str
    before: float
    after: float
    ooms: int


@dataclass(frozen=True, slots=True)
class Measure:
    """What is attributed."""

    name: str
    unit: str
    values: list[float]

    @property
    def in_factors(self) -> bool:
        """Whether no value is so near zero that a factor would say more about it than about a switch."""
        pairs = [*pairwise(self.values), (self.values[0], self.values[-1])]
        return all(low > 0 and high <= LARGEST_FACTOR * low for low, high in map(sorted, pairs))

    @property
    def _decimals(self) -> int:
        """Such that the largest value has three digits."""
        return max(2 - math.floor(math.log10(max(self.values))), 0) if max(self.values) > 0 else 0

    def shown(self, value: float) -> str:
        """With as many decimals as all the others."""
        return f"{value:,.{self._decimals}f}"

    def effect(self, rung: Rung) -> str:
        """As a factor, or where that means nothing as a signed difference."""
        return f"{rung.after / rung.before:.2f}x" if self.in_factors else self.shown_difference(rung)

    def change(self, rung: Rung) -> str:
        """As a signed difference, and as a factor where that means something."""
        difference = self.shown_difference(rung)
        if not difference.strip("+0."):
            return "no change"
        return f"{difference}, {self.effect(rung)}" if self.in_factors else difference

    def shown_difference(self, rung: Rung) -> str:
        """Between the values as they are shown, so that sums can be checked by eye."""
        difference = round(rung.after, self._decimals) - round(rung.before, self._decimals)
        return f"{difference:+,.{self._decimals}f}"

    def matters(self, rung: Rung) -> bool:
        """Whether the change is more than a tie: of the rung, or where there are no factors of the whole."""
        if self.in_factors:
            return not close(rung.before, rung.after)
        return abs(rung.after - rung.before) > TIE * max(self.values)


def attribution(ladder: Sequence[Run]) -> Attribution | None:
    """The section for runs that differ by one switch from one to the next; None if no switch was turned, if a run was
    interrupted, or if these are the ladders of several comparisons.
    """
    infos = [run.info for run in ladder]
    starts = sum(info.switch == "baseline" for info in infos)
    if len(infos) < 2 or starts != 1 or not all(info.complete for info in infos):
        return None
    summaries = [summary_of(info) for info in infos]
    measure = _measure(summaries)
    rungs = [
        Rung(info.switch, info.label, before, after, summary.ooms)
        for info, summary, before, after in zip(infos, summaries, [0.0, *measure.values], measure.values, strict=False)
    ]
    return Attribution(
        sentence(measure, rungs),
        inline_svg(
            "attribution",
            waterfall_figure(measure, rungs),
            f"{measure.name.capitalize()} from {rungs[0].policy} to {rungs[-1].policy}, switch by switch",
            f"{rungs[0].policy}: {measure.shown(rungs[0].after)} {measure.unit}; "
            + "; ".join(f"{rung.switch}: {measure.change(rung)}" for rung in rungs[1:]),
        ),
        _table(measure, rungs, summaries),
    )


def _measure(summaries: Sequence[Summary]) -> Measure:
    """Goodput, unless it is everywhere the same or decides nothing."""
    goodput = [summary.goodput_req_s for summary in summaries]
    if goodput_decides(summaries) and not close(min(goodput), max(goodput)):
        return Measure("goodput", "requests/s", goodput)
    return Measure("throughput", "tokens/s", [summary.total_tok_s for summary in summaries])


def sentence(measure: Measure, rungs: Sequence[Rung]) -> str:
    """Which switch brought most, and which cost."""
    first, last = rungs[0], rungs[-1]
    name = measure.name.capitalize()
    if measure.in_factors:
        whole = f"{name} of {last.policy} is {last.after / first.after:.2f}x that of {first.policy}"
        ending = "Factors multiply; what a switch brings depends on those before it."
    else:
        values = f"{measure.shown(first.after)} under {first.policy} to {measure.shown(last.after)}"
        whole = f"{name} goes from {values} {measure.unit} under {last.policy}"
        ending = "What a switch brings depends on those before it."
    turned = sorted(filter(measure.matters, rungs[1:]), key=lambda rung: _size(measure, rung), reverse=True)
    gains = _listed("brings", measure, [rung for rung in turned if rung.after > rung.before])
    costs = _listed("costs", measure, [rung for rung in turned if rung.after < rung.before])
    moved = "; ".join(filter(None, (gains, costs))) or f"no switch moves it by more than {TIE:.0%}"
    return f"{whole}: {moved}. {_out_of_memory(rungs)}{ending}"


def _out_of_memory(rungs: Sequence[Rung]) -> str:
    """Which rungs nobody could serve with, lest what they brought be taken for a gain."""
    out = " and would be out of the contest" if not rungs[-1].ooms else ""
    return "".join(
        f"{rung.policy} ({rung.switch}) ran out of memory in {rung.ooms:,} steps{out}. " for rung in rungs if rung.ooms
    )


def _size(measure: Measure, rung: Rung) -> float:
    return abs(math.log(rung.after / rung.before)) if measure.in_factors else abs(rung.after - rung.before)


def _listed(verb: str, measure: Measure, rungs: Sequence[Rung]) -> str:
    if not rungs:
        return ""
    first, *others = rungs
    if not others:
        return f"{first.switch} {verb} {measure.effect(first)}"
    rest = ", ".join(f"{rung.switch} {measure.effect(rung)}" for rung in others)
    return f"{first.switch} {verb} most, {measure.effect(first)}, then {rest}"


def waterfall_figure(measure: Measure, rungs: Sequence[Rung]) -> "Figure":
    """A bar a rung, which starts where the one above it ends; names above the bars, so that it suits narrow pages."""
    from matplotlib.figure import Figure

    names = [_name(rung) for rung in rungs]
    row_pt = 38 + 10 * max(len(policy) for _, policy in names)
    panel_pt, axis_pt = row_pt * len(rungs), 32
    most = max(measure.values)
    with page_style():
        figure = Figure(figsize=(_WIDTH_PT / 72, (panel_pt + axis_pt) / 72))
        panel = figure.add_axes((0.02, axis_pt / (panel_pt + axis_pt), 0.96, panel_pt / (panel_pt + axis_pt)))
        panel.set_ylim(panel_pt, 0)  # downwards, in points
        panel.set_xlim(0, most / _BARS_SHARE or 1)
        for row, (rung, (switch, policy)) in enumerate(zip(rungs, names, strict=True)):
            top = row * row_pt
            across = panel.get_yaxis_transform()
            panel.text(0.01, top + 2, switch, transform=across, va="top", fontsize=9, fontweight="bold")
            panel.text(0.01, top + 13, "\n".join(policy), transform=across, va="top", fontsize=8, linespacing=1.1)
            _draw(panel, top + row_pt - 14, rung, measure, starts=row == 0)
            if row:
                panel.plot([rung.before] * 2, [top - 6, top + row_pt - 20], color=INK, linewidth=0.7, alpha=0.3)
        panel.set_yticks([])
        panel.set_xticks([tick for tick in panel.get_xticks() if tick <= 1.05 * most])
        panel.xaxis.set_major_formatter("{x:,g}")
        panel.grid(axis="y", visible=False)
        panel.spines[["top", "right"]].set_visible(False)
        panel.set_xlabel(f"{measure.name} ({measure.unit})", loc="left")
    return figure


def _name(rung: Rung) -> tuple[str, list[str]]:
    """The switch, with the steps that ran out of memory, and the policy in at most two lines."""
    ooms = f", {rung.ooms:,} OOM" if rung.ooms else ""
    return rung.switch + ooms, textwrap.wrap(rung.policy, _LINE_CHARACTERS, max_lines=2, placeholder=" …")


def _draw(panel: "Axes", middle: float, rung: Rung, measure: Measure, *, starts: bool) -> None:
    low, high = sorted((rung.before, rung.after))
    style: dict[str, Any] = {"color": UP}
    if starts:
        style = {"color": INK, "alpha": 0.35}
    elif rung.after < rung.before:
        style = {"facecolor": DOWN, "edgecolor": INK, "hatch": "////"}
    panel.barh(middle, high - low, left=low, height=12, linewidth=0, zorder=2, **style)
    panel.plot([rung.after] * 2, [middle - 8, middle + 8], color=INK, linewidth=1.4, solid_capstyle="butt", zorder=3)
    text = typeset(measure.shown(rung.after) + ("" if starts else f" ({measure.change(rung)})"))
    panel.annotate(text, (high, middle), xytext=(4, 0), textcoords="offset points", va="center", fontsize=8)


def _table(measure: Measure, rungs: Sequence[Rung], summaries: Sequence[Summary]) -> Table:
    tail = "p99" if min(summary.finished for summary in summaries) >= ENOUGH_FOR_P99 else "p90"
    heads = [
        ("switch", "the one thing in which the policy differs from the one above it"),
        ("policy", "what batched the requests"),
        ("tokens/s", "prompt and output tokens of finished requests over the makespan"),
        ("goodput", "finished requests that keep the SLO, per second"),
        ("mean E2E", "arrival to last token, mean"),
        (f"E2E {tail}", f"arrival to last token, {tail[1:]}th percentile"),
        ("OOMs", "steps that ran out of memory"),
        ("preempted", "times a running request lost its place and its cache, or had it swapped out"),
        ("change", f"of {measure.name} against the row above"),
    ]
    rows = [
        [
            Cell(rung.switch, row),
            Cell(rung.policy, row),
            Cell(three_digits(summary.total_tok_s), summary.total_tok_s),
            Cell(three_digits(summary.goodput_req_s), summary.goodput_req_s),
            _latency(summary.e2e_s.mean),
            _latency(getattr(summary.e2e_s, tail)),
            Cell(f"{summary.ooms:,}", summary.ooms),
            Cell(f"{summary.preemptions:,}", summary.preemptions),
            Cell(measure.change(rung) if row else "", rung.after - rung.before),
        ]
        for row, (rung, summary) in enumerate(zip(rungs, summaries, strict=True))
    ]
    return Table(heads, rows)


def _latency(value: float | None) -> Cell:
    return Cell("-", math.inf) if value is None else Cell(seconds(value), value)
