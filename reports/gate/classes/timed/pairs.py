"""Takes samples of base and head in two fresh processes that run the same benchmarks in step.

Samples are taken one at a time in the order A B B A, so that a disturbance of the machine hits both sides alike and
neither side is always first. The processes are fresh because the memory that a process gets at its start affects its
speed for as long as it runs: only more processes average that out.
"""

import math
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

from ...broken import Broken
from .side_process import BenchmarkEnded, ProcessLost, Side, SideProcess

__all__ = ["Launch", "LaunchProblem", "Side", "benchmarks_of", "launch", "launch_source", "two_installations"]

SAMPLE_S = 2e-3
"""The least duration of a sample by the benchmark's clock: long enough that clock and wake-up do not matter."""

_PATIENCE_S = 0.1  # wall time after which a sample need not be longer, where a setup takes far longer than the call
_MOST_CALLS = 1 << 20


@dataclass(frozen=True, slots=True)
class LaunchProblem:
    """Why a launch has no samples of a benchmark.

    Attributes:
        text: one line.
        failed_sides: the sides ("base", "head") whose own run of the benchmark failed; empty if neither did.
    """

    text: str
    failed_sides: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Launch:
    """The samples of one launch.

    Attributes:
        samples: by benchmark, seconds a call of base and of head; equally many of each.
        broken: by benchmark or file, why there are no samples.
        clocks: by benchmark, the clock of its samples: a key of `CLOCKS` in sampler.py.
    """

    samples: dict[str, tuple[list[float], list[float]]] = field(default_factory=dict)
    broken: dict[str, LaunchProblem] = field(default_factory=dict)
    clocks: dict[str, str] = field(default_factory=dict)


def launch(
    base: Side,
    head: Side,
    files: Sequence[Path],
    *,
    only: Sequence[str] | None,
    pairs: int,
    root: Path,
    timeout_s: float,
    head_first: bool = False,
) -> Launch:
    """Start both sides on the same files and take samples of every benchmark on both.

    Args:
        only: names of benchmarks ("bench_gate.py::test_pack[ffd]"); a missing one is broken. None: all.
        pairs: of samples, in the order A B B A: twice as many samples a side.
        root: the folder that pytest runs in, with its configuration.
        timeout_s: of the whole launch; a side that is not done by then counts as hanging.
        head_first: head starts first, and the order of samples is B A A B.

    Raises Broken: a side ended before it listed its benchmarks.
    """
    with ExitStack() as stack:
        deadline = time.monotonic() + timeout_s
        order = (1, 0) if head_first else (0, 1)
        started = {
            index: stack.enter_context(SideProcess((base, head)[index], files, root, deadline)) for index in order
        }
        return _run_benchmarks([started[0], started[1]], only, (*order, *reversed(order)) * pairs)


def launch_source(
    base: Side, head: Side, files: Sequence[Path], *, pairs: int, root: Path, timeout_s: float
) -> Callable[[Sequence[str], int], Iterator[Launch]]:
    """A function from names of benchmarks and a number to that many launches, each made when it is asked for."""

    def launches(names: Sequence[str], count: int) -> Iterator[Launch]:
        for index in range(count):  # going first is worth 0.1 %, so the sides take turns
            yield launch(
                base, head, files,
                only=names, pairs=pairs, root=root, timeout_s=timeout_s, head_first=index % 2 == 1,
            )  # fmt: skip

    return launches


def benchmarks_of(
    side: Side, files: Sequence[Path], *, root: Path, timeout_s: float
) -> tuple[list[str], dict[str, str]]:
    """The names of the benchmarks in some files; and by file that cannot be read, the reason. Raises Broken."""
    with SideProcess(side, files, root, time.monotonic() + timeout_s) as process:
        clocks, unread = _collected(process)
        process.tell(run=[])
        return list(clocks), unread


def two_installations(site: Path) -> tuple[Side, Side]:
    """Two installations of one build: another folder gives another memory layout, as between two commits."""
    copy = site.with_name(site.name + "-again")
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(site, copy, symlinks=True)
    return Side("base", site), Side("head", copy)


def _run_benchmarks(sides: list[SideProcess], only: Sequence[str] | None, turns: Sequence[int]) -> Launch:
    found, unread, result = [], list[dict[str, str]](), Launch()
    for side in sides:
        clocks, why = _collected(side)
        found.append(list(clocks))
        unread.append(why)
        result.clocks.update(clocks)
    for file in dict.fromkeys(file for each in unread for file in each):
        result.broken[file] = _problem(
            {side.name: each[file] for side, each in zip(sides, unread, strict=True) if file in each}
        )
    wanted = list(only) if only is not None else list(dict.fromkeys([*found[1], *found[0]]))
    both = [name for name in wanted if all(name in names for names in found)]
    for name in wanted:
        if name not in both:
            result.broken[name] = _missing(name, sides, found, result.broken)
    for side in sides:
        side.tell(run=both)
    for index, name in enumerate(both):
        try:
            _measure(name, sides, turns, result)
        except ProcessLost as lost:
            result.broken[name] = LaunchProblem(str(lost))
            result.broken.update(dict.fromkeys(both[index + 1 :], LaunchProblem(f"not reached: {lost}")))
            break
    return result


def _collected(side: SideProcess) -> tuple[dict[str, str], dict[str, str]]:
    """The clocks of a side's benchmarks, by name; and why files cannot be read, by file."""
    answer = side.hear()
    for package, where in answer["strays"].items():
        raise Broken(f"{side.name}: {package} was imported from {where}, not from its own site: uninstall that one")
    return answer["clocks"], answer["unread"]


def _missing(
    name: str, sides: list[SideProcess], found: list[list[str]], unread: Mapping[str, LaunchProblem]
) -> LaunchProblem:
    if why := unread.get(name.partition("::")[0]):
        return why
    absent = " and ".join(side.name for side, names in zip(sides, found, strict=True) if name not in names)
    return LaunchProblem(f"missing in {absent}: renamed or deleted?")


def _measure(name: str, sides: list[SideProcess], turns: Sequence[int], result: Launch) -> None:
    """Run one benchmark, from its setup on both sides to its teardown."""
    samples: tuple[list[float], list[float]] = ([], [])
    reached = [side.hear()["event"] for side in sides]
    if reached == ["ready", "ready"]:
        with suppress(BenchmarkEnded):
            _sample(sides, turns, samples)
    if any(side.has_ended for side in sides):  # whether the other side fails too decides whether base alone fails
        for side in sides:
            _call_once(side)
    reasons = {side.name: side.finish() or _unusable(given) for side, given in zip(sides, samples, strict=True)}
    if any(reasons.values()):
        result.broken[name] = _problem(reasons)
    elif sum(map(len, samples)) < len(turns):
        result.broken[name] = LaunchProblem("the benchmark caught an error of its own")
    else:
        result.samples[name] = samples


def _call_once(side: SideProcess) -> None:
    if not side.has_ended:
        with suppress(BenchmarkEnded):
            side.ask(1)


def _problem(reasons: Mapping[str, str]) -> LaunchProblem:
    """From the reason of each side's failure, or an empty text; equal reasons are given once."""
    sides: dict[str, list[str]] = {}
    for side, reason in reasons.items():
        if reason:
            sides.setdefault(reason, []).append(side)
    text = "; ".join(f"{' and '.join(names)}: {reason}" for reason, names in sides.items())
    return LaunchProblem(text, tuple(side for side, reason in reasons.items() if reason))


def _sample(sides: list[SideProcess], turns: Sequence[int], samples: tuple[list[float], list[float]]) -> None:
    calls = _calls_a_sample(*sides)
    for index in turns:
        samples[index].append(sides[index].ask(calls)["spent_s"] / calls)


def _calls_a_sample(base: SideProcess, head: SideProcess) -> int:
    """The number of calls that fill a sample on base. Head makes the same calls: both then saw the same inputs."""
    calls = 1
    while True:
        took = base.ask(calls)
        head.ask(calls)
        if took["spent_s"] >= SAMPLE_S or took["elapsed_s"] >= _PATIENCE_S or calls >= _MOST_CALLS:
            return calls
        calls *= 2


def _unusable(samples: list[float]) -> str:
    return next((f"a call took {each!r} s" for each in samples if not (math.isfinite(each) and each > 0)), "")
