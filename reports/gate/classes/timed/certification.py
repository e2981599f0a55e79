"""Certifies the timed class on a machine, for `warpgroup gate certify`: its false alarms and missed slow-downs."""

import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from .....errors import InvalidScenario, OutputRefused
from ... import builds
from ...broken import Broken
from ...gate import Gate
from ...machine import machine_now
from .decision import NAME, TimingRule
from .pairs import Side, benchmarks_of, two_installations
from .timed_class import LAUNCH_S, timed_files, timing_rule
from .trials import Certification, GateTrial, TrialSetting, read_journal, run_trials

ALLOWED_WRONG = 0.01
"""The largest share of false alarms, and of missed slow-downs, at which a certificate holds."""


class Certificate(msgspec.Struct, frozen=True):
    """A certification, with the machine and the command that made it."""

    date: str
    command: str
    machine: dict[str, str]
    launches: tuple[int, int]
    pairs: int
    certification: Certification

    @property
    def holds(self) -> bool:
        """Whether at most 1 % of each setting is wrong, and nothing under load."""
        tallies = self.certification.tallies
        is_rare = all(tally.wrong <= ALLOWED_WRONG * tally.gates for tally in tallies.values())
        loaded = tallies.get(TrialSetting.LOADED.value)
        return is_rare and (loaded is None or loaded.wrong == 0)


def certify_gate(
    gate: Gate,
    benchmark: str,
    wanted: tuple[int, int, int],
    output: Path,
    *,
    slower_percent: int,
    on_trial: Callable[[int], None],
) -> Certificate:
    """Let the gate decide on builds of the present commit: against itself, and against one that is slower on purpose.

    Args:
        wanted: number of trials of a build against itself, against a slower build, and against itself under load.
        output: written at the end; its journal, beside it, lets an interrupted certification continue.
        slower_percent: how much more the slower build packs.
        on_trial: called after each trial with the number of trials so far.

    Raises Broken: a build fails, or there is no such benchmark. InvalidScenario, OutputRefused: wrong usage.
    """
    _refuse_nothing(gate, wanted, output)
    root = gate.root
    commit = builds.commit_of(root, "HEAD")
    rule, files = timing_rule(gate.config), timed_files(gate)
    sides = two_installations(builds.install_package(root, commit, gate.builds))
    slow = Side("slower", _slower_build(gate, root, commit, slower_percent))
    if benchmark not in (known := benchmarks_of(slow, files, root=root, timeout_s=LAUNCH_S)[0]):
        raise Broken(f"there is no benchmark {benchmark}: choose one of {', '.join(known)}")
    journal = _journal_of(output, commit, benchmark, rule, slower_percent)
    done = len(read_journal(journal))

    def count_trial(_: GateTrial) -> None:
        nonlocal done
        done += 1
        on_trial(done)

    found = run_trials(
        sides,
        slow,
        files,
        benchmark=benchmark,
        rule=rule,
        wanted=dict(zip((TrialSetting.SAME, TrialSetting.SLOWED, TrialSetting.LOADED), wanted, strict=True)),
        journal=journal,
        root=root,
        budget_s=gate.config.budget_s,
        on_trial=count_trial,
    )
    today = datetime.now(UTC).date().isoformat()
    certificate = Certificate(today, gate.command, machine_now(), rule.launches, rule.pairs, found)
    output.write_bytes(msgspec.json.format(msgspec.json.encode(certificate), indent=1) + b"\n")
    return certificate


def _refuse_nothing(gate: Gate, wanted: tuple[int, int, int], output: Path) -> None:
    if NAME not in gate.config.classes:
        raise InvalidScenario(f"{gate.path} has no table [timed]: there is nothing to certify")
    if not any(wanted):
        raise InvalidScenario("--same, --slowed and --loaded are all 0: there is nothing to certify")
    if not output.parent.is_dir():
        raise OutputRefused(f"{output.parent} is not a folder: create it, or choose another -o")


def _slower_build(gate: Gate, root: Path, commit: str, slower_percent: int) -> Path:
    define, folder = f"cmake.define.WARPGROUP_SLOWER={slower_percent}", f"build-dir={gate.builds}/slower"
    return builds.install_package(root, commit, gate.builds, options=("-C", define, "-C", folder))


def _journal_of(output: Path, commit: str, benchmark: str, rule: TimingRule, slower_percent: int) -> Path:
    """The journal beside the output; its name has a hash of all that the trials depend on."""
    key = zlib.crc32(repr((commit, benchmark, rule, slower_percent, sorted(machine_now().items()))).encode())
    return output.with_name(f"{output.stem}-{key:08x}.jsonl")
