"""Reads perf-gate.toml; an error names the line and the key."""

import re
import tomllib
from pathlib import Path

import msgspec

from ...errors import InvalidScenario
from .classes.registry import CLASSES
from .config import SHARE_PATTERN, GateConfig, InvalidSetting, SharedSettings


def read_config(path: Path) -> GateConfig:
    """Read the settings of a gate. Raises InvalidScenario: the file is missing, or a setting is wrong."""
    try:
        text = path.read_text()
    except OSError as error:
        raise InvalidScenario(f"cannot read {path}: {error.strerror}; --config names the gate's TOML file") from None
    except UnicodeDecodeError:
        raise InvalidScenario(f"{path} is not a text file; --config names the gate's TOML file") from None
    try:
        read = msgspec.convert(tomllib.loads(text), _file_type())
    except tomllib.TOMLDecodeError as error:
        raise InvalidScenario(f"{path} is not TOML: {error}") from None
    except msgspec.ValidationError as error:
        key, reason = _located(error)
        raise InvalidScenario(f"{path} line {_line_of(text, key)}: {key or 'top level'}: {reason}") from None
    shared = {name: getattr(read, name) for name in SharedSettings.__struct_fields__}
    classes = {name: settings for name in CLASSES if (settings := getattr(read, name)) is not None}
    if not classes:
        tables = ", ".join(f"[{name}]" for name in CLASSES)
        raise InvalidScenario(f"{path} gates nothing: add at least one of the tables {tables}")
    return GateConfig(**shared, classes=classes)


def _file_type() -> type[msgspec.Struct]:
    """The whole file: the shared settings, and an optional table for each class."""
    tables = [(name, each.settings | None, None) for name, each in CLASSES.items()]
    return msgspec.defstruct("GateFile", tables, bases=(SharedSettings,), frozen=True, forbid_unknown_fields=True)


def _located(error: msgspec.ValidationError) -> tuple[str, str]:
    """The key that an error is about, and the reason. msgspec gives the path of a key in its message only."""
    reason, _, where = str(error).partition(" - at `$")
    keys = [where.strip("`").lstrip(".")]
    if unknown := re.search(r"unknown field `(.+?)`", reason):
        keys.append(unknown[1])
    if isinstance(error.__cause__, InvalidSetting):
        keys.append(error.__cause__.key)
    return ".".join(filter(None, keys)), reason


def _line_of(text: str, key: str) -> int:
    """The line of a key, counted from 1; if the key is missing, the line of its table."""
    parts = [part for part in re.split(r"[.\[\]]+", key.replace("[...]", ".*")) if part]
    table: list[str] = []
    seen: dict[str, int] = {}
    found = 1
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*(\[\[?)\s*([^\]]+?)\s*\]", line):
            table = [part.strip().strip("\"'") for part in header[2].split(".")]
            if header[1] == "[[":  # each table of an array has its number in the path
                seen[header[2]] = seen.get(header[2], -1) + 1
                table.append(str(seen[header[2]]))
            if table == parts[: len(table)]:
                found = number
        elif (pair := re.match(r"\s*(\"[^\"]*\"|'[^']*'|[\w-]+)\s*=(.*)", line)) and table == parts[: len(table)]:
            wanted = parts[len(table) : len(table) + 1]
            # In a table whose keys are free, the message has no key: take the first value that is not a percentage.
            is_no_share = not re.search(SHARE_PATTERN, pair[2].strip("\"' "))
            if wanted == [pair[1].strip("\"'")] or (wanted == ["*"] and is_no_share):
                return number
    return found
