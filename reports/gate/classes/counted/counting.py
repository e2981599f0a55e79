"""Builds the core's benchmark program and counts its instructions, allocations and copied bytes."""

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

import msgspec

from ...broken import Broken

# A run of ROUNDS rounds is subtracted from a run of twice as many, so that start and set-up cancel out. The number is a
# multiple of 20, because a build with WARPGROUP_SLOWER=5 repeats one round of 20.
ROUNDS = 20

INSTRUCTIONS = "instructions"
_REPORTED = {"allocations": "allocations", "allocated bytes": "allocated_bytes", "copied bytes": "copied_bytes"}

_CACHEGRIND = ("--tool=cachegrind", "--cache-sim=no", "--branch-sim=no", "--cachegrind-out-file=/dev/null")
_TIMEOUT_S = 600

_Count = Annotated[int, msgspec.Meta(ge=0)]


class Counts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The counts of a build. They have no noise, but only counts with equal keys can be compared.

    Attributes:
        key: what the counts depend on besides the code: compiler, flags, libc, machine, valgrind.
        counts: by case and metric, for one round.
    """

    key: dict[str, str]
    counts: dict[str, dict[str, _Count]]

    def get(self, case: str, metric: str) -> int | None:
        """One count; None if there is none."""
        return self.counts.get(case, {}).get(metric)


def build_core_bench(source: Path, into: Path, *, slower: int = 0) -> Path:
    """Build the benchmark program of a source tree; returns its path.

    Args:
        source: the folder that contains csrc/.
        into: the build folder; an earlier build of the same tree in it is reused.
        slower: percent of the packing work that is done twice, to prove that the gate detects it.

    Raises Broken: cmake is missing, or the tree does not build.
    """
    generator = ["-G", "Ninja"] if shutil.which("ninja") else []
    options = ["-DCMAKE_BUILD_TYPE=Release", "-DWARPGROUP_TESTS=ON", f"-DWARPGROUP_SLOWER={slower}"]
    _run(["cmake", "-S", str(source / "csrc"), "-B", str(into), *generator, *options])
    cores = str(os.cpu_count() or 1)
    _run(["cmake", "--build", str(into), "--target", "core_bench", "--parallel", cores])
    return into / "core_bench"


def count_core_bench(program: Path, *, instructions: bool = True, only: Collection[str] = ()) -> Counts:
    """Count the cases of a program that `build_core_bench` built; takes about ten seconds on two cores.

    Args:
        instructions: False: count allocations and copied bytes only, which does not need valgrind.
        only: names of cases; empty: all.

    Raises Broken: valgrind is missing, or the program crashes, or its output cannot be read.
    """
    key = _key(program, instructions)
    cases = [case for case in _run([str(program), "--list"]).stdout.split() if not only or case in only]
    if not cases:
        raise Broken(f"{program} has no such cases: build it again, or list its cases with --list")
    with ThreadPoolExecutor(os.cpu_count()) as threads:  # each thread waits for its own process
        counts = threads.map(lambda case: _count_case(program, case, instructions), cases)
        return Counts(key, dict(zip(cases, counts, strict=True)))


def _count_case(program: Path, case: str, instructions: bool) -> dict[str, int]:
    once, twice = (_native(program, case, rounds) for rounds in (ROUNDS, 2 * ROUNDS))
    if instructions:
        once[INSTRUCTIONS], twice[INSTRUCTIONS] = (
            _instructions(program, case, rounds) for rounds in (ROUNDS, 2 * ROUNDS)
        )
    # Rounded up: an event of a single round among many must not count as zero.
    return {metric: -((once[metric] - twice[metric]) // ROUNDS) for metric in once}


def _native(program: Path, case: str, rounds: int) -> dict[str, int]:
    said = _run([str(program), case, str(rounds)]).stdout
    try:
        facts = msgspec.json.decode(said, type=dict[str, str | int])
        return {metric: int(facts[field]) for metric, field in _REPORTED.items()}
    except (msgspec.MsgspecError, KeyError, ValueError) as error:
        raise Broken(f"{program} {case}: its output cannot be read ({error}): build it again") from error


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
        raise Broken(f"{program}: the output of --build cannot be read ({error}): build it again") from error
    key = {**built, "libc": " ".join(platform.libc_ver()), "machine": platform.machine()}
    return key | {"valgrind": _run(["valgrind", "--version"]).stdout.strip()} if instructions else key


_REMEDIES = {"valgrind": "apt-get install valgrind", "cmake": "pip install cmake ninja"}


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run a command. Raises Broken if it does not end with exit status 0."""
    shown = " ".join(command)
    try:
        return subprocess.run(
            command, capture_output=True, encoding="utf-8", errors="replace", check=True, timeout=_TIMEOUT_S
        )
    except FileNotFoundError as error:
        remedy = _REMEDIES.get(command[0], "build it again")
        raise Broken(f"the counted class needs {command[0]}, which is missing: {remedy}") from error
    except subprocess.TimeoutExpired as error:
        raise Broken(f"{shown}: it did not end within {_TIMEOUT_S} s: run it by hand to see why") from error
    except subprocess.CalledProcessError as error:
        raise Broken(f"{shown}: exit status {error.returncode}: {_reason(error)}: run it by hand to see why") from error
    except OSError as error:
        raise Broken(f"{shown}: {error}: build it again") from error


def _reason(error: subprocess.CalledProcessError) -> str:
    said: str = error.stdout + error.stderr
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    wrong = [line for line in lines if re.search(r"\berror\b", line, re.IGNORECASE)]
    return (wrong or lines[-1:] or ["it printed nothing"])[0]
