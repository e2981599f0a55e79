"""What the timed class can do on this machine, measured: `gate calibrate`, and `gate certify`."""

import shutil
import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from ...errors import InvalidScenario, OutputRefused
from . import builds, power
from .broken import Broken
from .builds import WORKING_TREE
from .pairs import Side, benchmarks, launch_source
from .power import Certification, Setting
from .run import LAUNCH_S, Gate, machine_now, rule_of
from .timed import Rule

ALLOWED = 0.01
"""Of false alarms, and of slow-downs that are missed."""


class Calibration(msgspec.Struct, frozen=True):
    """What a machine's noise hides. `detectable`: by benchmark, the smallest slow-down that is found, as a share."""

    date: str
    machine: dict[str, str]
    launches: tuple[int, int]
    pairs: int
    detectable: dict[str, float]


class Certificate(msgspec.Struct, frozen=True):
    """A certification with where and by what it was made."""

    date: str
    command: str
    machine: dict[str, str]
    launches: tuple[int, int]
    pairs: int
    certification: Certification

    @property
    def holds(self) -> bool:
        """At most 1 % wrong in every setting, and no false alarm under load."""
        tallies = self.certification.tallies
        rarely = all(tally.wrong <= ALLOWED * tally.gates for tally in tallies.values())
        loaded = tallies.get(Setting.LOADED.value)
        return rarely and (loaded is None or loaded.wrong == 0)


def calibrate(gate: Gate, launches: int, *, on_launch: Callable[[], None]) -> dict[str, float]:
    """Time the working tree against itself, and keep what this machine can show. Raises Broken."""
    root = builds.root_of(gate.path)
    timed = gate.config.timed
    if timed is None:
        raise Broken(f"{gate.path} has no [timed]: there is nothing to calibrate")
    rule = rule_of(gate.config)
    sides = _two_of(builds.package(root, WORKING_TREE, gate.builds))
    files = [gate.path.parent / name for name in timed.files]
    names, unread = benchmarks(sides[0], files, root=root, timeout_s=LAUNCH_S)
    made = []
    source = launch_source(*sides, files, pairs=rule.pairs, root=root, timeout_s=LAUNCH_S)
    for launch in source(names, launches):
        if broken := unread | launch.broken:
            raise Broken("; ".join(f"{name}: {why}" for name, why in broken.items()))
        made.append(launch)
        on_launch()
    found = power.detectable(made, rule)
    today = datetime.now(UTC).date().isoformat()
    calibration = Calibration(today, machine_now(), rule.launches, rule.pairs, found)
    gate.calibration.write_bytes(msgspec.json.format(msgspec.json.encode(calibration), indent=1) + b"\n")
    return found


def read_detectable(path: Path, rule: Rule) -> dict[str, float]:
    """What was calibrated on this machine for that rule; nothing if nothing was."""
    try:
        calibration = msgspec.json.decode(path.read_bytes(), type=Calibration)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return {}
    is_so = (calibration.launches, calibration.pairs) == (rule.launches, rule.pairs)
    return calibration.detectable if is_so and calibration.machine == machine_now() else {}


def certify(
    gate: Gate,
    benchmark: str,
    wanted: tuple[int, int, int],
    output: Path,
    *,
    slower_percent: int,
    on_gate: Callable[[int], None],
) -> Certificate:
    """Have gates decide on builds of the present commit: on two that are the same, and on one that is slower.

    Args:
        wanted: gates of two that are the same, of a slower one, and of two that are the same beside busy cores.
        output: is written after every gate; its journal, beside it, makes it resumable.
        on_gate: told how many gates there are.

    Raises Broken: a build fails, or there is no such benchmark.
    """
    root = builds.root_of(gate.path)
    commit = builds.commit_of(root, "HEAD")
    if gate.config.timed is None or not any(wanted):
        raise InvalidScenario("there is nothing to certify: no [timed] in the configuration, or no gates are asked for")
    if not output.parent.is_dir():
        raise OutputRefused(f"{output.parent} is not a folder: create it, or choose another -o")
    files = [gate.path.parent / name for name in gate.config.timed.files]
    rule = rule_of(gate.config)
    sides = _two_of(builds.package(root, commit, gate.builds))
    slower = ("-C", f"cmake.define.WARPGROUP_SLOWER={slower_percent}", "-C", f"build-dir={gate.builds}/slower")
    slow = Side("slower", builds.package(root, commit, gate.builds, options=slower))
    if benchmark not in (known := benchmarks(slow, files, root=root, timeout_s=LAUNCH_S)[0]):
        raise Broken(f"there is no benchmark {benchmark}: there are {', '.join(known)}")
    key = zlib.crc32(repr((commit, benchmark, rule, slower_percent, sorted(machine_now().items()))).encode())
    journal = output.with_name(f"{output.stem}-{key:08x}.jsonl")  # gates of anything else are none of these
    done = len(power.read_journal(journal))

    def note(_: power.Gate) -> None:
        nonlocal done
        done += 1
        on_gate(done)

    found = power.certify(
        sides,
        slow,
        files,
        benchmark=benchmark,
        rule=rule,
        wanted=dict(zip((Setting.SAME, Setting.SLOWED, Setting.LOADED), wanted, strict=True)),
        journal=journal,
        root=root,
        budget_s=gate.config.budget_s,
        on_gate=note,
    )
    today = datetime.now(UTC).date().isoformat()
    certificate = Certificate(today, gate.command, machine_now(), rule.launches, rule.pairs, found)
    output.write_bytes(msgspec.json.format(msgspec.json.encode(certificate), indent=1) + b"\n")
    return certificate


def _two_of(site: Path) -> tuple[Side, Side]:
    """Two installations of one build: another folder is another layout of memory, as between two commits."""
    again = site.with_name(site.name + "-again")
    shutil.rmtree(again, ignore_errors=True)
    shutil.copytree(site, again, symlinks=True)
    return Side("base", site), Side("head", again)
