"""The counted class: instructions, allocations and copies of the core's benchmark program.

Counts have no noise, but they belong to a compiler, its flags, a C library and a valgrind: to a key. Only counts
of one key are compared.
"""

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

import msgspec

from .broken import Broken
from .result import Check, Kind, Outcome

MAX_INCREASE = 0.005

# Start and set-up cancel out between runs of so many rounds and of twice as many. It is a multiple of 20, since a
# build that is slower by 5 % on purpose (WARPGROUP_SLOWER) repeats one round of 20.
ROUNDS = 20

INSTRUCTIONS = "instructions"
_REPORTED = {"allocations": "allocations", "allocated bytes": "allocated_bytes", "copied bytes": "copied_bytes"}

_CACHEGRIND = ("--tool=cachegrind", "--cache-sim=no", "--branch-sim=no", "--cachegrind-out-file=/dev/null")
_TIMEOUT_S = 600

_Count = Annotated[int, msgspec.Meta(ge=0)]


class Counts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was counted.

    Attributes:
        key: what the counts depend on beside the code: compiler, flags, libc, machine, valgrind.
        counts: by case and metric, for one round.
    """

    key: dict[str, str]
    counts: dict[str, dict[str, _Count]]


def build(source: Path, into: Path, *, slower: int = 0) -> Path:
    """Builds the benchmark program of a source tree and returns its path.

    Args:
        source: holds csrc/.
        into: the build folder; what it holds of an earlier build of the same tree is used again.
        slower: percent of the packing work that is done twice, to prove that the gate sees it.

    Raises Broken: cmake is missing, or the tree does not build.
    """
    generator = ["-G", "Ninja"] if shutil.which("ninja") else []
    options = ["-DCMAKE_BUILD_TYPE=Release", "-DWARPGROUP_TESTS=ON", f"-DWARPGROUP_SLOWER={slower}"]
    _run(["cmake", "-S", str(source / "csrc"), "-B", str(into), *generator, *options])
    cores = str(os.cpu_count() or 1)
    _run(["cmake", "--build", str(into), "--target", "core_bench", "--parallel", cores])
    return into / "core_bench"


def count(program: Path, *, instructions: bool = True, only: Collection[str] = ()) -> Counts:
    """Counts the cases of a program that `build` made; about ten seconds on two cores.

    Args:
        instructions: under valgrind; without, allocations and copies alone are counted.
        only: some cases, by their names; all if it is empty.

    Raises Broken: valgrind is missing, or the program crashes or says nothing that can be read.
    """
    key = _key(program, instructions)
    cases = [case for case in _run([str(program), "--list"]).stdout.split() if not only or case in only]
    if not cases:
        raise Broken(f"{program} has no such cases: build it anew, or see what it has with --list")
    with ThreadPoolExecutor(os.cpu_count()) as threads:  # each waits for a process of its own
        counts = threads.map(lambda case: _count_case(program, case, instructions), cases)
        return Counts(key, dict(zip(cases, counts, strict=True)))


def compare(
    base: Counts, head: Counts, *, max_increase: float = MAX_INCREASE, thresholds: Mapping[str, float] | None = None
) -> list[Check]:
    """One check for each case and metric that either side has, in order.

    Args:
        max_increase: the largest share by which a count may grow.
        thresholds: the same for some cases, by their names.

    Raises ValueError if the keys differ: then the base has to be counted again, here.
    """
    if base.key != head.key:
        raise ValueError(f"counts of different keys cannot be compared: {base.key} and {head.key}")
    limits = thresholds or {}
    return [
        _check(case, metric, _get(base, case, metric), _get(head, case, metric), limits.get(case, max_increase))
        for case in sorted(base.counts.keys() | head.counts.keys())
        for metric in sorted(base.counts.get(case, {}).keys() | head.counts.get(case, {}).keys())
    ]


def carried_over(accepted: Counts, before: Counts | None, recounted: Counts, head: Counts) -> Counts:
    """What was accepted by another key, as this machine would have counted it.

    Args:
        accepted, before: the baseline now, and as the base had it: their ratio is what was accepted since.
        recounted: the base, counted here.
        head: what a case that is accepted and that the base does not have yet is taken from.
    """

    def expected(case: str, metric: str, here: int) -> int:
        now, then = _get(accepted, case, metric), _get(before, case, metric) if before else None
        return round(here * now / then) if now and then and before and before.key == accepted.key else here

    counts = {
        case: {metric: expected(case, metric, here) for metric, here in metrics.items()}
        for case, metrics in recounted.counts.items()
    }
    newcomers = {case: head.counts[case] for case in accepted.counts if case not in counts and case in head.counts}
    return Counts(head.key, counts | newcomers)


def read_counts(path: Path) -> Counts:
    """What `write_counts` wrote. Raises Broken for a file that is missing, empty or malformed."""
    remedy = "make it with `warpgroup gate accept`"
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Counts)
    except OSError as error:
        raise Broken(f"{path}: {error.strerror}: {remedy}") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Broken(f"{path}: {error}: {remedy}") from error
    if not any(found.counts.values()):
        raise Broken(f"{path}: it holds no counts: {remedy}")
    return found


def write_counts(path: Path, counts: Counts) -> None:
    """As indented JSON with sorted keys, whose changes can be reviewed."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(counts, order="sorted"), indent=2) + b"\n")


def _get(counts: Counts, case: str, metric: str) -> int | None:
    return counts.counts.get(case, {}).get(metric)


def _check(case: str, metric: str, base: int | None, head: int | None, limit: float) -> Check:
    outcome, change, detail = Outcome.BROKEN, None, ""
    if head is None:
        detail = f"'{case}' was renamed or deleted, or does not report {metric}: if that is meant, run `gate accept`"
    elif base is None:
        detail = f"the baseline does not have {metric} of '{case}': accept it with `gate accept`"
    else:
        change = (head - base) / base if base > 0 else 0.0 if head == 0 else None
        outcome, detail = _judged(change, limit)
    return Check(
        Kind.COUNTED, case, f"{metric} a round", outcome, base, head, change=change, threshold=limit, detail=detail
    )


def _judged(change: float | None, limit: float) -> tuple[Outcome, str]:
    if change is None:
        return Outcome.REGRESSED, "there were none before"
    if change > limit:
        return Outcome.REGRESSED, f"{change:+.2%}, at most {limit:+.2%} is allowed"
    better = f"better by {-change:.2%}: `gate accept` keeps the gain" if change < -limit else ""
    return Outcome.PASSED, better


def _count_case(program: Path, case: str, instructions: bool) -> dict[str, int]:
    once, twice = (_native(program, case, rounds) for rounds in (ROUNDS, 2 * ROUNDS))
    if instructions:
        once[INSTRUCTIONS], twice[INSTRUCTIONS] = (
            _instructions(program, case, rounds) for rounds in (ROUNDS, 2 * ROUNDS)
        )
    # Rounded up: what happens in a single round of many is more than nothing.
    return {metric: -((once[metric] - twice[metric]) // ROUNDS) for metric in once}


def _native(program: Path, case: str, rounds: int) -> dict[str, int]:
    said = _run([str(program), case, str(rounds)]).stdout
    try:
        facts = msgspec.json.decode(said, type=dict[str, str | int])
        return {metric: int(facts[field]) for metric, field in _REPORTED.items()}
    except (msgspec.MsgspecError, KeyError, ValueError) as error:
        raise Broken(f"{program} {case}: its output cannot be read ({error}): build it anew") from error


def _instructions(program: Path, case: str, rounds: int) -> int:
    said = _run(["valgrind", *_CACHEGRIND, str(program), case, str(rounds)]).stderr
    found = re.search(r"I\s+refs:\s+([\d,]+)", said)
    if found is None:
        raise Broken(f"{program} {case}: cachegrind reports no instructions: run valgrind by hand to see why")
    return int(found[1].replace(",", ""))


def _key(program: Path, instructions: bool) -> dict[str, str]:
    said = _run([str(program), "--build"]).stdout
    try:
        built = msgspec.json.decode(said, type=dict[str, str])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Broken(f"{program}: it does not say how it was built ({error}): build it anew") from error
    key = {**built, "libc": " ".join(platform.libc_ver()), "machine": platform.machine()}
    return key | {"valgrind": _run(["valgrind", "--version"]).stdout.strip()} if instructions else key


_REMEDIES = {"valgrind": "apt-get install valgrind", "cmake": "pip install cmake ninja"}


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Runs it to its end; whatever else happens is Broken."""
    shown = " ".join(command)
    try:
        return subprocess.run(
            command, capture_output=True, encoding="utf-8", errors="replace", check=True, timeout=_TIMEOUT_S
        )
    except FileNotFoundError as error:
        remedy = _REMEDIES.get(command[0], "build it anew")
        raise Broken(f"{command[0]} is not there, which counts need: {remedy}") from error
    except subprocess.TimeoutExpired as error:
        raise Broken(f"{shown}: it did not end within {_TIMEOUT_S} s: run it by hand") from error
    except subprocess.CalledProcessError as error:
        raise Broken(f"{shown}: exit status {error.returncode}: {_reason(error)}: run it by hand") from error
    except OSError as error:
        raise Broken(f"{shown}: {error}: build it anew") from error


def _reason(error: subprocess.CalledProcessError) -> str:
    said: str = error.stdout + error.stderr
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    wrong = [line for line in lines if re.search(r"\berror\b", line, re.IGNORECASE)]
    return (wrong or lines[-1:] or ["it said nothing"])[0]
