"""One gate from its configuration to its result: each class is measured and judged by its own rule."""

import os
import platform
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from ...errors import InvalidScenario
from . import benchmark_list, builds, counted, exact
from .broken import Broken
from .builds import WORKING_TREE
from .config import CountedClass, ExactClass, GateConfig, TimedClass, share, thresholds_of, waived
from .pairs import Launch, Side, benchmarks, launch_source
from .result import Check, GateResult, Kind, Outcome
from .timed import Rule, Source, decide

MeasureExact = Callable[[ExactClass, Path], exact.Figures]
"""From what is to be simulated, and the folder that its files are relative to, to its figures."""

LAUNCH_S = 120.0
"""A launch that takes longer hangs."""


@dataclass(frozen=True, slots=True)
class Gate:
    """What a gate is given.

    Attributes:
        path: of the configuration; what is named in it lies beside it.
        builds: folder for trees and packages, kept between gates.
        only: classes; all that are configured if it is empty.
        command: that asked for it.
        detectable: by benchmark, the smallest slow-down that this machine can show; empty: not measured.
        say: told what is being done.
    """

    config: GateConfig
    path: Path
    builds: Path
    measure_exact: MeasureExact
    base: str = "main"
    only: Collection[Kind] = ()
    command: str = ""
    detectable: dict[str, float] = field(default_factory=dict)
    say: Callable[[str], None] = lambda text: None

    def wants(self, kind: Kind) -> bool:
        """Whether a class is to be gated."""
        return not self.only or kind in self.only

    @property
    def calibration(self) -> Path:
        """Where `gate calibrate` keeps what this machine can show."""
        return self.builds / "calibration.json"

    @property
    def baseline(self) -> Path:
        """The folder of accepted figures."""
        return self.path.parent / self.config.baseline


def run_gate(gate: Gate) -> GateResult:
    """Gate the working tree.

    Raises InvalidScenario: wrong usage. What goes wrong with a class is in the result, as broken.
    """
    began = time.monotonic()
    config, notes = gate.config, list[str]()
    root = builds.root_of(gate.path)
    needs_base = (config.timed and gate.wants(Kind.TIMED)) or (config.counted and gate.wants(Kind.COUNTED))
    base = builds.branched_from(root, gate.base) if needs_base else ""
    checks: list[Check] = []
    if config.exact and gate.wants(Kind.EXACT):
        checks += _guarded(Kind.EXACT, partial(_exact, gate, config.exact))
    if config.counted and gate.wants(Kind.COUNTED):
        checks += _guarded(Kind.COUNTED, partial(_counted, gate, config.counted, root, base, notes))
    if config.timed and gate.wants(Kind.TIMED):
        checks += _guarded(Kind.TIMED, partial(_timed, gate, config.timed, root, base))
    if not checks:
        raise InvalidScenario(f"--only leaves nothing of {gate.path} to be gated")
    today = datetime.now(UTC)
    checks, more = waived(checks, config.waive, today.date())
    if not gate.only:
        idle = {*config.thresholds} - {check.name for check in checks}
        more += [f"the threshold of {name} is of no benchmark: remove it" for name in sorted(idle)]
    return GateResult(
        date=today.isoformat(timespec="seconds"),
        command=gate.command,
        base=base or "baseline",
        head=builds.head_of(root),
        machine=machine_now(),
        seconds=round(time.monotonic() - began, 1),
        checks=checks,
        notes=[*notes, *more, f"load when it ended: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"],
    )


def _guarded(kind: Kind, checks: Callable[[], list[Check]]) -> list[Check]:
    """A class of which nothing can be known is one broken check."""
    try:
        return checks() or [Check(kind, f"[{kind}]", "harness", Outcome.BROKEN, detail="it has no check at all")]
    except Broken as broken:
        return [Check(kind, f"[{kind}]", "harness", Outcome.BROKEN, detail=str(broken))]


def _exact(gate: Gate, wanted: ExactClass) -> list[Check]:
    base = exact.read_figures(gate.baseline / "exact.json")
    gate.say("simulating")
    return exact.compare(base, gate.measure_exact(wanted, gate.path.parent))


def _counted(gate: Gate, wanted: CountedClass, root: Path, base: str, notes: list[str]) -> list[Check]:
    accepted = counted.read_counts(gate.baseline / "counted.json")
    head = count_head(gate, root)
    if accepted.key != head.key:
        notes.append(f"the counted baseline is of another compiler, valgrind or machine: {base[:12]} was counted anew")
        gate.say(f"building and counting {base[:12]}")
        program = counted.build(builds.tree(root, base, gate.builds), gate.builds / base[:12] / "core")
        before = None
        with suppress(Broken, ValueError):
            before = counted.read_counts(_in_base(gate, root, base) / "counted.json")
        accepted = counted.carried_over(accepted, before, counted.count(program), head)
    limits = thresholds_of(gate.config)
    return counted.compare(accepted, head, max_increase=share(wanted.max_increase), thresholds=limits)


def count_head(gate: Gate, root: Path) -> counted.Counts:
    """The working tree's counts. Raises Broken."""
    gate.say("building the core's benchmark program")
    program = counted.build(root, gate.builds / "head" / "core")
    gate.say("counting instructions, allocations and copies")
    return counted.count(program)


def _timed(gate: Gate, wanted: TimedClass, root: Path, base: str) -> list[Check]:
    rule = rule_of(gate.config)
    _refuse_what_cannot_be_seen(rule, gate.detectable)
    accepted = benchmark_list.read_benchmark_list(gate.baseline / benchmark_list.FILE)
    sides = sides_of(gate, root, base)
    files = [gate.path.parent / name for name in wanted.files]
    names, unread = benchmarks(sides[1], files, root=root, timeout_s=LAUNCH_S)
    checks = [Check(Kind.TIMED, name, "collection", Outcome.BROKEN, detail=why) for name, why in unread.items()]
    checks += benchmark_list.compare(accepted, names)
    made = launch_source(*sides, files, pairs=rule.pairs, root=root, timeout_s=LAUNCH_S)
    checks += decide(_told(gate, made), names, rule, budget_s=gate.config.budget_s)
    return benchmark_list.without_newcomers(checks, _benchmark_list_of_base(gate, root, base))


def _benchmark_list_of_base(gate: Gate, root: Path, base: str) -> list[str]:
    """What the base's own baseline has; nothing where it has none yet."""
    with suppress(Broken, ValueError):  # ValueError: a baseline outside of the repository
        return benchmark_list.read_benchmark_list(_in_base(gate, root, base) / benchmark_list.FILE)
    return []


def _in_base(gate: Gate, root: Path, base: str) -> Path:
    """The folder of accepted figures as the base has it. Raises ValueError: it is not in the repository."""
    return builds.tree(root, base, gate.builds) / gate.baseline.resolve().relative_to(root.resolve())


def present_benchmarks(gate: Gate, wanted: TimedClass) -> list[str]:
    """The timed benchmarks of the working tree. Raises Broken: it does not build, or a file cannot be read."""
    gate.say("building the working tree")
    root = builds.root_of(gate.path)
    side = Side("head", builds.package(root, WORKING_TREE, gate.builds))
    names, unread = benchmarks(side, [gate.path.parent / name for name in wanted.files], root=root, timeout_s=LAUNCH_S)
    if unread:
        raise Broken("; ".join(f"{name}: {why}" for name, why in unread.items()))
    return names


def rule_of(config: GateConfig) -> Rule:
    """How the timed class decides."""
    wanted = config.timed
    assert wanted is not None
    limits = thresholds_of(config)
    return Rule(share(wanted.fail_above), limits, launches=wanted.launches, pairs=wanted.pairs)


def sides_of(gate: Gate, root: Path, base: str) -> tuple[Side, Side]:
    """Base and head, built."""
    gate.say(f"building {base[:12]}")
    base_site = builds.package(root, base, gate.builds)
    gate.say("building the working tree")
    return Side("base", base_site), Side("head", builds.package(root, WORKING_TREE, gate.builds))


def _told(gate: Gate, source: Source) -> Source:
    """The same launches, with a word about each."""

    def launches(names: Sequence[str], count: int) -> Iterator[Launch]:
        for number, launch in enumerate(source(names, count), 1):
            gate.say(f"timing {len(names)} benchmarks, launch {number} of {count}")
            yield launch

    return launches


def _refuse_what_cannot_be_seen(rule: Rule, detectable: dict[str, float]) -> None:
    """A threshold below what this machine can show would cry wolf or find nothing."""
    for name, smallest in detectable.items():
        if rule.of(name) < smallest:
            raise InvalidScenario(
                f"{name} is to fail above {rule.of(name):.1%}, and this machine shows no less than {smallest:.1%} at 1 "
                "% false alarms (warpgroup gate calibrate): raise its threshold or the launches"
            )


def machine_now() -> dict[str, str]:
    """What figures depend on."""
    return {
        "cpu": _cpu(),
        "cores": str(os.cpu_count()),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())
