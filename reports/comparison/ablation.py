"""The ablation: what each switch brought, as a waterfall from the baseline to the winner."""

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from ...records import Run
from ...records.merit import TIE, close, goodput_decides
from ...records.metrics import Summary, summary_of
from ..judging.factor import LARGEST_FACTOR
from ..judging.table import Cell, ReportTable
from ..numbers import ENOUGH_FOR_P99, seconds, three_digits, typeset
from ..page.svg import COLOURS, INK, inline_svg, page_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

UP, DOWN = COLOURS[2], COLOURS[1]
_WIDTH_PT = 320
_LINE_CHARACTERS = 60
_BARS_SHARE = 0.62  # of the panel's width; the numbers need the rest


@dataclass(frozen=True, slots=True)
class AblationSection:
    """What the report shows of an ablation: a sentence, the waterfall as SVG, and a table with a row per switch."""

    sentence: str
    waterfall: str
    table: ReportTable


@dataclass(frozen=True, slots=True)
class SwitchEffect:
    """A switch, the policy that it leads to, and the measure before and after it.

    Attributes:
        ooms: out-of-memory steps after the switch.
    """

    switch: str
    policy: str
    before: float
    after: float
    ooms: int


@dataclass(frozen=True, slots=True)
class Measure:
    """The figure that the ablation explains, with its value for each policy."""

    name: str
    unit: str
    values: list[float]

    @property
    def in_factors(self) -> bool:
        """Whether all factors are meaningful: no value is near zero next to its neighbour."""
        pairs = [*pairwise(self.values), (self.values[0], self.values[-1])]
        return all(low > 0 and high <= LARGEST_FACTOR * low for low, high in map(sorted, pairs))

    @property
    def _decimals(self) -> int:
        """The decimals with which the largest value has three digits."""
        return max(2 - math.floor(math.log10(max(self.values))), 0) if max(self.values) > 0 else 0

    def shown(self, value: float) -> str:
        """The value with as many decimals as all others."""
        return f"{value:,.{self._decimals}f}"

    def effect(self, effect: SwitchEffect) -> str:
        """The effect of a switch as a factor, or as a signed difference if factors are not meaningful."""
        return f"{effect.after / effect.before:.2f}x" if self.in_factors else self.shown_difference(effect)

    def change(self, effect: SwitchEffect) -> str:
        """The effect of a switch as a signed difference, and as a factor if factors are meaningful."""
        difference = self.shown_difference(effect)
        if not difference.strip("+0."):
            return "no change"
        return f"{difference}, {self.effect(effect)}" if self.in_factors else difference

    def shown_difference(self, effect: SwitchEffect) -> str:
        """The difference of the rounded values, so that a reader can check the sums."""
        difference = round(effect.after, self._decimals) - round(effect.before, self._decimals)
        return f"{difference:+,.{self._decimals}f}"

    def matters(self, effect: SwitchEffect) -> bool:
        """Whether the change is larger than a tie: relative to the value before, or to the largest value if factors are
        not meaningful.
        """
        if self.in_factors:
            return not close(effect.before, effect.after)
        return abs(effect.after - effect.before) > TIE * max(self.values)


def ablation_section(ablation: Sequence[Run]) -> AblationSection | None:
    """The section for runs that each differ from the run before by one switch.

    None if there is only one run, if a run was interrupted, or if these are the ablations of several comparisons.
    """
    infos = [run.info for run in ablation]
    starts = sum(info.switch == "baseline" for info in infos)
    if len(infos) < 2 or starts != 1 or not all(info.complete for info in infos):
        return None
    summaries = [summary_of(info) for info in infos]
    measure = _measure(summaries)
    effects = [
        SwitchEffect(info.switch, info.label, before, after, summary.ooms)
        for info, summary, before, after in zip(infos, summaries, [0.0, *measure.values], measure.values, strict=False)
    ]
    return AblationSection(
        ablation_sentence(measure, effects),
        inline_svg(
            "ablation",
            waterfall_figure(measure, effects),
            f"{measure.name.capitalize()} from {effects[0].policy} to {effects[-1].policy}, switch by switch",
            f"{effects[0].policy}: {measure.shown(effects[0].after)} {measure.unit}; "
            + "; ".join(f"{effect.switch}: {measure.change(effect)}" for effect in effects[1:]),
        ),
        _table(measure, effects, summaries),
    )


def _measure(summaries: Sequence[Summary]) -> Measure:
    """Goodput; throughput if goodput is the same everywhere, or if too few requests kept the SLO."""
    goodput = [summary.goodput_req_s for summary in summaries]
    if goodput_decides(summaries) and not close(min(goodput), max(goodput)):
        return Measure("goodput", "requests/s", goodput)
    return Measure("throughput", "tokens/s", [summary.total_tok_s for summary in summaries])


def ablation_sentence(measure: Measure, effects: Sequence[SwitchEffect]) -> str:
    """Which switches bring most, and which cost something."""
    first, last = effects[0], effects[-1]
    name = measure.name.capitalize()
    if measure.in_factors:
        whole = f"{name} of {last.policy} is {last.after / first.after:.2f}x that of {first.policy}"
        ending = "Factors multiply. What a switch brings depends on the switches before it."
    else:
        values = f"{measure.shown(first.after)} under {first.policy} to {measure.shown(last.after)}"
        whole = f"{name} changes from {values} {measure.unit} under {last.policy}"
        ending = "What a switch brings depends on the switches before it."
    turned = sorted(filter(measure.matters, effects[1:]), key=lambda effect: _size(measure, effect), reverse=True)
    gains = _listed("brings", measure, [effect for effect in turned if effect.after > effect.before])
    costs = _listed("costs", measure, [effect for effect in turned if effect.after < effect.before])
    moved = "; ".join(filter(None, (gains, costs))) or f"no switch changes it by more than {TIE:.0%}"
    return f"{whole}: {moved}. {_out_of_memory(effects)}{ending}"


def _out_of_memory(effects: Sequence[SwitchEffect]) -> str:
    """Which policies ran out of memory, because an operator cannot use what their switches bring."""
    out = ", so it could not win" if not effects[-1].ooms else ""
    return "".join(
        f"{effect.policy} ({effect.switch}) ran out of memory in {effect.ooms:,} steps{out}. "
        for effect in effects
        if effect.ooms
    )


def _size(measure: Measure, effect: SwitchEffect) -> float:
    return abs(math.log(effect.after / effect.before)) if measure.in_factors else abs(effect.after - effect.before)


def _listed(verb: str, measure: Measure, effects: Sequence[SwitchEffect]) -> str:
    if not effects:
        return ""
    first, *others = effects
    if not others:
        return f"{first.switch} {verb} {measure.effect(first)}"
    rest = ", ".join(f"{effect.switch} {measure.effect(effect)}" for effect in others)
    return f"{first.switch} {verb} most, {measure.effect(first)}, then {rest}"


def waterfall_figure(measure: Measure, effects: Sequence[SwitchEffect]) -> "Figure":
    """A bar per switch, which starts where the bar above it ends. Names stand above the bars to suit narrow pages."""
    from matplotlib.figure import Figure

    names = [_name(effect) for effect in effects]
    row_pt = 38 + 10 * max(len(policy) for _, policy in names)
    panel_pt, axis_pt = row_pt * len(effects), 32
    most = max(measure.values)
    with page_style():
        figure = Figure(figsize=(_WIDTH_PT / 72, (panel_pt + axis_pt) / 72))
        panel = figure.add_axes((0.02, axis_pt / (panel_pt + axis_pt), 0.96, panel_pt / (panel_pt + axis_pt)))
        panel.set_ylim(panel_pt, 0)  # downwards, in points
        panel.set_xlim(0, most / _BARS_SHARE or 1)
        for row, (effect, (switch, policy)) in enumerate(zip(effects, names, strict=True)):
            top = row * row_pt
            across = panel.get_yaxis_transform()
            panel.text(0.01, top + 2, switch, transform=across, va="top", fontsize=9, fontweight="bold")
            panel.text(0.01, top + 13, "\n".join(policy), transform=across, va="top", fontsize=8, linespacing=1.1)
            _draw(panel, top + row_pt - 14, effect, measure, starts=row == 0)
            if row:
                panel.plot([effect.before] * 2, [top - 6, top + row_pt - 20], color=INK, linewidth=0.7, alpha=0.3)
        panel.set_yticks([])
        panel.set_xticks([tick for tick in panel.get_xticks() if tick <= 1.05 * most])
        panel.xaxis.set_major_formatter("{x:,g}")
        panel.grid(axis="y", visible=False)
        panel.spines[["top", "right"]].set_visible(False)
        panel.set_xlabel(f"{measure.name} ({measure.unit})", loc="left")
    return figure


def _name(effect: SwitchEffect) -> tuple[str, list[str]]:
    """The switch with its number of out-of-memory steps, and the policy in at most two lines."""
    ooms = f", {effect.ooms:,} OOM" if effect.ooms else ""
    return effect.switch + ooms, textwrap.wrap(effect.policy, _LINE_CHARACTERS, max_lines=2, placeholder=" …")


def _draw(panel: "Axes", middle: float, effect: SwitchEffect, measure: Measure, *, starts: bool) -> None:
    low, high = sorted((effect.before, effect.after))
    style: dict[str, Any] = {"color": UP}
    if starts:
        style = {"color": INK, "alpha": 0.35}
    elif effect.after < effect.before:
        style = {"facecolor": DOWN, "edgecolor": INK, "hatch": "////"}
    panel.barh(middle, high - low, left=low, height=12, linewidth=0, zorder=2, **style)
    panel.plot([effect.after] * 2, [middle - 8, middle + 8], color=INK, linewidth=1.4, solid_capstyle="butt", zorder=3)
    text = typeset(measure.shown(effect.after) + ("" if starts else f" ({measure.change(effect)})"))
    panel.annotate(text, (high, middle), xytext=(4, 0), textcoords="offset points", va="center", fontsize=8)


def _table(measure: Measure, effects: Sequence[SwitchEffect], summaries: Sequence[Summary]) -> ReportTable:
    tail = "p99" if min(summary.finished for summary in summaries) >= ENOUGH_FOR_P99 else "p90"
    heads = [
        ("switch", "the one thing in which the policy differs from the policy above it"),
        ("policy", "the rule that chose the batches"),
        ("tokens/s", "prompt and output tokens of finished requests, divided by the makespan"),
        ("goodput", "finished requests that kept the SLO, per second"),
        ("mean E2E", "time from arrival to last token, mean"),
        (f"E2E {tail}", f"time from arrival to last token, {tail[1:]}th percentile"),
        ("OOMs", "steps that ran out of memory"),
        ("preempted", "how often a running request was evicted: its KV cache was dropped or swapped out"),
        ("change", f"change of {measure.name} against the row above"),
    ]
    rows = [
        [
            Cell(effect.switch, row),
            Cell(effect.policy, row),
            Cell(three_digits(summary.total_tok_s), summary.total_tok_s),
            Cell(three_digits(summary.goodput_req_s), summary.goodput_req_s),
            _latency(summary.e2e_s.mean),
            _latency(getattr(summary.e2e_s, tail)),
            Cell(f"{summary.ooms:,}", summary.ooms),
            Cell(f"{summary.preemptions:,}", summary.preemptions),
            Cell(measure.change(effect) if row else "", effect.after - effect.before),
        ]
        for row, (effect, summary) in enumerate(zip(effects, summaries, strict=True))
    ]
    return ReportTable(heads, rows)


def _latency(value: float | None) -> Cell:
    return Cell("-", math.inf) if value is None else Cell(seconds(value), value)
