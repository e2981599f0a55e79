"""A launch: base and head in two fresh processes, walking through the same benchmarks in step.

Samples are taken one at a time, in the order A B B A, so that both sides see the same weather and neither is always
first. Processes are fresh because what one is given, by way of memory, it keeps: only more processes average it out.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

from .broken import Broken
from .side_process import Ended, Lost, Side, SideProcess

__all__ = ["Launch", "Side", "benchmarks", "launch", "launch_source"]

SAMPLE_S = 2e-3
"""Time, by the benchmark's clock, that a sample takes at least: so long that clock and wake-up do not matter."""

_PATIENCE_S = 0.1  # wall time that a sample may take to fill up, where a setup takes far longer than the call
_MOST_CALLS = 1 << 20


@dataclass(frozen=True, slots=True)
class Launch:
    """What one launch gave.

    Attributes:
        samples: seconds a call, of base and of head, by benchmark; as many of each.
        broken: why there are none, in a line, by benchmark or file.
        clocks: which seconds those are, by benchmark: see `CLOCKS` of sampler.py.
    """

    samples: dict[str, tuple[list[float], list[float]]] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)
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
        only: names of benchmarks ("bench_gate.py::test_pack[ffd]"); one that is not there is broken. None: all.
        pairs: of samples, in the order A B B A: twice as many samples a side.
        root: where pytest runs, with its configuration.
        timeout_s: of the whole launch; who is not done by then hangs.
        head_first: it starts first, and the order of samples is B A A B.

    Raises Broken: a side did not come as far as telling what benchmarks there are.
    """
    with ExitStack() as stack:
        deadline = time.monotonic() + timeout_s
        order = (1, 0) if head_first else (0, 1)
        started = {
            index: stack.enter_context(SideProcess((base, head)[index], files, root, deadline)) for index in order
        }
        return _walk([started[0], started[1]], only, (*order, *reversed(order)) * pairs)


def launch_source(
    base: Side, head: Side, files: Sequence[Path], *, pairs: int, root: Path, timeout_s: float
) -> Callable[[Sequence[str], int], Iterator[Launch]]:
    """From names of benchmarks, and how many, to launches of them, each made when it is asked for."""

    def launches(names: Sequence[str], count: int) -> Iterator[Launch]:
        for index in range(count):  # who goes first is worth a tenth of a percent: it takes turns
            yield launch(
                base, head, files,
                only=names, pairs=pairs, root=root, timeout_s=timeout_s, head_first=index % 2 == 1,
            )  # fmt: skip

    return launches


def benchmarks(side: Side, files: Sequence[Path], *, root: Path, timeout_s: float) -> tuple[list[str], dict[str, str]]:
    """Names of the benchmarks that there are, and of files that cannot be read, why. Raises Broken as `launch`."""
    with SideProcess(side, files, root, time.monotonic() + timeout_s) as process:
        clocks, unread = _collected(process)
        process.tell(run=[])
        return list(clocks), unread


def _walk(sides: list[SideProcess], only: Sequence[str] | None, turns: Sequence[int]) -> Launch:
    found, result = [], Launch()
    for side in sides:
        clocks, unread = _collected(side)
        found.append(list(clocks))
        result.clocks.update(clocks)
        result.broken.update({file: f"{side.name}: {why}" for file, why in unread.items()})
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
        except Lost as lost:
            result.broken[name] = str(lost)
            result.broken.update(dict.fromkeys(both[index + 1 :], f"not reached: {lost}"))
            break
    return result


def _collected(side: SideProcess) -> tuple[dict[str, str], dict[str, str]]:
    """Clocks of the benchmarks that there are, and why files cannot be read, by name."""
    answer = side.hear()
    for package, where in answer["strays"].items():
        raise Broken(f"{side.name}: {package} was imported from {where}, not from its own site: uninstall that one")
    return answer["clocks"], answer["unread"]


def _missing(name: str, sides: list[SideProcess], found: list[list[str]], unread: dict[str, str]) -> str:
    if why := unread.get(name.partition("::")[0]):
        return why
    absent = " and ".join(side.name for side, names in zip(sides, found, strict=True) if name not in names)
    return f"missing in {absent}: renamed or deleted?"


def _measure(name: str, sides: list[SideProcess], turns: Sequence[int], result: Launch) -> None:
    """One benchmark, from its setup on both sides until it is taken down."""
    samples: tuple[list[float], list[float]] = ([], [])
    reached = [side.hear()["event"] for side in sides]
    if reached == ["ready", "ready"]:
        with suppress(Ended):
            _sample(sides, turns, samples)
    where: dict[str, list[str]] = {}
    for side, given in zip(sides, samples, strict=True):
        if problem := side.finish() or _unusable(given):
            where.setdefault(problem, []).append(side.name)
    problems = [f"{' and '.join(names)}: {problem}" for problem, names in where.items()]
    if not problems and sum(map(len, samples)) < len(turns):
        problems.append("it hid an error of its own")
    if problems:
        result.broken[name] = "; ".join(problems)
    else:
        result.samples[name] = samples


def _sample(sides: list[SideProcess], turns: Sequence[int], samples: tuple[list[float], list[float]]) -> None:
    calls = _calls_a_sample(*sides)
    for index in turns:
        samples[index].append(sides[index].ask(calls)["spent_s"] / calls)


def _calls_a_sample(base: SideProcess, head: SideProcess) -> int:
    """As many as fill one on the base. Head makes the same calls: both have then seen the same inputs."""
    calls = 1
    while True:
        took = base.ask(calls)
        head.ask(calls)
        if took["spent_s"] >= SAMPLE_S or took["elapsed_s"] >= _PATIENCE_S or calls >= _MOST_CALLS:
            return calls
        calls *= 2


def _unusable(samples: list[float]) -> str:
    return next((f"a call took {each!r} s" for each in samples if not (math.isfinite(each) and each > 0)), "")
