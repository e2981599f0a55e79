"""The timed class of the gate: builds base and head, and times their benchmarks side by side."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import msgspec

from .....errors import InvalidScenario
from ....page.svg import inline_svg
from ... import builds
from ...baseline import BaselineUpdate, accepted_or_none, describe_differences
from ...broken import Broken
from ...builds import WORKING_TREE
from ...config import GateConfig, InvalidSetting, Share, share
from ...gate import Gate
from ...result import Check, GateResult, Outcome
from ...wording import check_title, interval_text, signed_percent
from ..gate_class import GateClass
from .benchmark_list import (
    FILE,
    compare_benchmark_lists,
    read_benchmark_list,
    report_new_benchmarks,
    write_benchmark_list,
)
from .calibration import calibration_file, read_detectable
from .decision import NAME, LaunchSource, TimingRule, decide
from .forest_figure import forest_figure, is_drawn
from .pairs import Launch, Side, benchmarks_of, launch_source

LAUNCH_S = 120.0
"""A launch that takes longer counts as hanging."""


class TimedSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The benchmarks to time.

    Attributes:
        files: pytest-benchmark tests, relative to the configuration.
        launches: pairs of fresh processes, at least and at most.
        pairs: A B B A groups of samples that a launch takes of each benchmark.
    """

    files: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    fail_above: Share = "2.5%"
    launches: tuple[Annotated[int, msgspec.Meta(ge=2)], Annotated[int, msgspec.Meta(ge=2)]] = (16, 64)
    pairs: Annotated[int, msgspec.Meta(ge=1)] = 6

    def __post_init__(self) -> None:
        """Raises InvalidSetting."""
        if self.launches[0] > self.launches[1]:
            raise InvalidSetting("launches", f"the minimum {self.launches[0]} is above the maximum {self.launches[1]}")


class TimedClass(GateClass[TimedSettings]):
    """CPU or GPU time of base and head."""

    name = NAME
    settings = TimedSettings
    needs_base = True
    rule = (
        "CPU or GPU time of base and head, which take turns on the same machine: the ratio of 5th percentiles, with a "
        "99 % interval from resampled launches. A check fails if the change is above the limit and the interval above "
        "zero, in two rounds. It passes if the interval is below the limit. Otherwise it is inconclusive."
    )

    def measure(self, gate: Gate, settings: TimedSettings) -> list[Check]:
        """Time every benchmark of the working tree against the base."""
        rule = timing_rule(gate.config)
        _refuse_undetectable(rule, read_detectable(calibration_file(gate), rule))
        accepted = read_benchmark_list(gate.baseline / FILE)
        sides = _built_sides(gate)
        files, root = timed_files(gate), gate.root
        names, unread = benchmarks_of(sides[1], files, root=root, timeout_s=LAUNCH_S)
        checks = [Check(NAME, file, "collection", Outcome.BROKEN, detail=why) for file, why in unread.items()]
        checks += compare_benchmark_lists(accepted, names)
        source = launch_source(*sides, files, pairs=rule.pairs, root=root, timeout_s=LAUNCH_S)
        checks += decide(_announced(gate, source), names, rule, budget_s=gate.config.budget_s)
        return report_new_benchmarks(checks, _benchmarks_known_to_base(gate))

    def accept(self, gate: Gate, settings: TimedSettings) -> BaselineUpdate:
        """The list of the working tree's benchmarks."""
        path, names = gate.baseline / FILE, _present_benchmarks(gate)
        before = accepted_or_none(lambda: read_benchmark_list(path))
        changed = describe_differences(NAME, None if before is None else _as_table(before), _as_table(names))
        return BaselineUpdate(changed, lambda: write_benchmark_list(path, names))

    def figure(self, checks: Sequence[Check], history: Sequence[GateResult]) -> str:
        """A forest plot of the changes."""
        drawn = [check for check in checks if is_drawn(check)]
        if not drawn:
            return ""
        texts = [
            f"{check_title(check)}: {signed_percent(check.change)} ({interval_text(check)}), {check.outcome}"
            for check in drawn
        ]
        title = "Change of each timed benchmark with its 99 % interval and its limit"
        return inline_svg("forest", forest_figure(drawn), title, "; ".join(texts))


def timing_rule(config: GateConfig) -> TimingRule:
    """The rule of a configuration with a [timed] table."""
    settings: TimedSettings = config.classes[NAME]
    return TimingRule(share(settings.fail_above), config.limits, launches=settings.launches, pairs=settings.pairs)


def timed_files(gate: Gate) -> list[Path]:
    """The benchmark files of a configuration with a [timed] table."""
    settings: TimedSettings = gate.config.classes[NAME]
    return [gate.path.parent / name for name in settings.files]


def _refuse_undetectable(rule: TimingRule, detectable: dict[str, float]) -> None:
    """A threshold below what this machine can detect would give false alarms, or find nothing."""
    for name, smallest in detectable.items():
        if rule.of(name) < smallest:
            raise InvalidScenario(
                f"{name} has the threshold {rule.of(name):.1%}, but this machine detects no change below "
                f"{smallest:.1%} at 1 % false alarms (measured by warpgroup gate calibrate): raise the threshold or "
                "the number of launches"
            )


def _built_sides(gate: Gate) -> tuple[Side, Side]:
    """Base and head, built."""
    root = gate.root
    gate.say(f"building {gate.base_commit[:12]}")
    base = builds.install_package(root, gate.base_commit, gate.builds)
    gate.say("building the working tree")
    return Side("base", base), Side("head", builds.install_package(root, WORKING_TREE, gate.builds))


def _announced(gate: Gate, source: LaunchSource) -> LaunchSource:
    """The same launches, each announced."""

    def launches(names: Sequence[str], count: int) -> Iterator[Launch]:
        for number, launch in enumerate(source(names, count), 1):
            gate.say(f"timing {len(names)} benchmarks, launch {number} of {count}")
            yield launch

    return launches


def _benchmarks_known_to_base(gate: Gate) -> list[str]:
    """The benchmark list that the base commit has; empty if it has none yet."""
    with suppress(Broken, ValueError):  # ValueError: the baseline lies outside of the repository
        return read_benchmark_list(gate.baseline_in_base() / FILE)
    return []


def _present_benchmarks(gate: Gate) -> list[str]:
    """The benchmarks of the working tree. Raises Broken: it does not build, or a file cannot be read."""
    gate.say("building the working tree")
    root = gate.root
    side = Side("head", builds.install_package(root, WORKING_TREE, gate.builds))
    names, unread = benchmarks_of(side, timed_files(gate), root=root, timeout_s=LAUNCH_S)
    if unread:
        raise Broken("; ".join(f"{file}: {why}" for file, why in unread.items()))
    return names


def _as_table(names: list[str]) -> dict[str, dict[str, int | str]]:
    return {name: {"listed": 1} for name in names}
