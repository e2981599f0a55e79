"""What is gated, and how strictly: perf-gate.toml."""

import re
import tomllib
from datetime import date
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated

import msgspec

from ...errors import InvalidScenario
from .result import Check, Outcome

_SHARE = r"^\s*\d+(\.\d+)?\s*%\s*$"
Share = Annotated[str, msgspec.Meta(pattern=_SHARE)]


class ExactClass(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Simulations whose figures must not change.

    Attributes:
        scenarios: built-in ones by name, or TOML files beside this one.
        requests: of each, the first so many; 0: all.
    """

    scenarios: tuple[str, ...]
    policies: tuple[str, ...]
    requests: Annotated[int, msgspec.Meta(ge=0)] = 0


class CountedClass(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The core's benchmark program, under cachegrind."""

    max_increase: Share = "0.5%"


class TimedClass(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Benchmarks that are timed.

    Attributes:
        files: of pytest-benchmark tests, beside this file.
        launches: pairs of fresh processes, at least and at most.
        pairs: ABBA pairs of samples that a launch takes of each benchmark.
    """

    files: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    fail_above: Share = "2.5%"
    launches: tuple[Annotated[int, msgspec.Meta(ge=2)], Annotated[int, msgspec.Meta(ge=2)]] = (16, 64)
    pairs: Annotated[int, msgspec.Meta(ge=1)] = 6


class Waiver(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A check that may fail for a while.

    Attributes:
        check: its id, such as "timed:bench_gate.py::test_pack[ffd]:CPU time, s a call"; * stands for anything.
        until: the last day on which it holds.
    """

    check: Annotated[str, msgspec.Meta(min_length=1)]
    until: date
    reason: Annotated[str, msgspec.Meta(min_length=1)]


class GateConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A whole file. A class that is not in it is not gated.

    Attributes:
        budget_s: for everything that is timed.
        baseline: folder of the accepted figures, beside this file.
        thresholds: by name of a benchmark, in place of its class's.
    """

    budget_s: Annotated[float, msgspec.Meta(gt=0)] = 600
    baseline: str = "baselines"
    exact: ExactClass | None = None
    counted: CountedClass | None = None
    timed: TimedClass | None = None
    thresholds: dict[str, Share] = {}
    waive: tuple[Waiver, ...] = ()


def read_config(path: Path) -> GateConfig:
    """Raises InvalidScenario: no such file, or what is wrong in it, by line and key."""
    try:
        text = path.read_text()
    except OSError as error:
        raise InvalidScenario(f"cannot read {path}: {error.strerror}; --config names the gate's TOML file") from None
    except UnicodeDecodeError:
        raise InvalidScenario(f"{path} is not a text file") from None
    try:
        config = msgspec.convert(tomllib.loads(text), GateConfig)
    except tomllib.TOMLDecodeError as error:
        raise InvalidScenario(f"{path} is not TOML: {error}") from None
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$")
        key = where.strip("`").lstrip(".")
        unknown = re.search(r"unknown field `(.+?)`", what)
        sought = ".".join(filter(None, (key, unknown[1] if unknown else "")))
        raise InvalidScenario(f"{path} line {_line_of(text, sought)}: {sought or 'top level'}: {what}") from None
    if config.exact is None and config.counted is None and config.timed is None:
        raise InvalidScenario(f"{path} gates nothing: it has neither [exact] nor [counted] nor [timed]")
    if config.timed is not None and config.timed.launches[0] > config.timed.launches[1]:
        line = _line_of(text, "timed.launches")
        raise InvalidScenario(f"{path} line {line}: timed.launches: more at least than at most")
    return config


def _line_of(text: str, key: str) -> int:
    """Where a key stands, or else the table that it is missing in; counted from 1."""
    parts = [part for part in re.split(r"[.\[\]]+", key.replace("[...]", ".*")) if part]
    table: list[str] = []
    seen: dict[str, int] = {}
    found = 1
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*(\[\[?)\s*([^\]]+?)\s*\]", line):
            table = [part.strip().strip("\"'") for part in header[2].split(".")]
            if header[1] == "[[":  # an array of tables: the path to one has its number
                seen[header[2]] = seen.get(header[2], -1) + 1
                table.append(str(seen[header[2]]))
            if table == parts[: len(table)]:
                found = number
        elif (pair := re.match(r"\s*(\"[^\"]*\"|'[^']*'|[\w-]+)\s*=(.*)", line)) and table == parts[: len(table)]:
            wanted = parts[len(table) : len(table) + 1]
            # Of a table with names of its own the message does not say which: it is the one that is no share.
            if wanted == [pair[1].strip("\"'")] or (wanted == ["*"] and not re.search(_SHARE, pair[2].strip("\"' "))):
                return number
    return found


def share(text: str) -> float:
    """'2.5%' is 0.025."""
    return float(text.strip().rstrip("%")) / 100


def waived(checks: list[Check], waivers: tuple[Waiver, ...], today: date) -> tuple[list[Check], list[str]]:
    """The checks with those that may fail marked so, and what is to be said of waivers: expired ones, and idle ones."""
    notes = []
    used: set[Waiver] = set()
    found = []
    for check in checks:
        matching = [waiver for waiver in waivers if fnmatchcase(check.id, _pattern(waiver.check))]
        waiver = max(matching, key=lambda each: each.until, default=None)
        if waiver is None or not _may_be_waived(check):
            found.append(check)
            continue
        used.update(matching)
        if waiver.until < today:
            notes.append(f"the waiver of {waiver.check} expired on {waiver.until}: fix it, or give it a new date")
            found.append(check)
            continue
        detail = f"{check.outcome}, waived until {waiver.until}: {waiver.reason}"
        found.append(msgspec.structs.replace(check, outcome=Outcome.WAIVED, detail=detail))
    kinds = {check.kind for check in checks}
    idle = [each for each in waivers if each not in used and each.check.partition(":")[0] in kinds]
    notes += [f"the waiver of {each.check} is not needed: remove it" for each in idle]
    return found, list(dict.fromkeys(notes))


def _may_be_waived(check: Check) -> bool:
    """What is broken cannot be waived, but for what the base alone cannot run, as after a change on purpose."""
    if check.outcome is Outcome.BROKEN:
        return fails_in_base_alone(check)
    return check.outcome in (Outcome.REGRESSED, Outcome.CHANGED, Outcome.INCONCLUSIVE)


def fails_in_base_alone(check: Check) -> bool:
    """Whether a timed check is broken because the base cannot run the benchmark, and the head can."""
    return check.detail.startswith("base: ") and "; head: " not in check.detail


def _pattern(text: str) -> str:
    """A pattern in which * alone is special: benchmarks have brackets in their names."""
    return text.replace("[", "[[]")


def thresholds_of(config: GateConfig) -> dict[str, float]:
    """By name, as shares."""
    return {name: share(text) for name, text in config.thresholds.items()}
