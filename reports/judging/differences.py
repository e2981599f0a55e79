"""Settings and versions in which runs differ that are laid side by side, though a comparison of policies wants them
equal.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from ...records import RunInfo

_MEASURED = ("memory.context_bytes", "memory.graph_pool_bytes", "limits.graph_pool_bytes", "limits.slack_bytes")
"""Anew whenever an engine is started. What they leave for the KV pool is compared."""
_CHANGES_NOTHING = "python"  # a simulation is the same to the bit under all of them
_OURS = ("warpgroup", "commit")


def differences(infos: Sequence[RunInfo]) -> list[tuple[str, list[str]]]:
    """Name of each of these, and its value in every run, but for those that are planned again: they are another's."""
    infos = [info for info in infos if not info.is_planned_again] or infos
    flat = [_settings(info) for info in infos]
    keys = dict.fromkeys(key for each in flat for key in each)
    if any(info.kind == "real" for info in infos):
        keys = {key: None for key in keys if key not in _MEASURED}
    found = [
        (key, [str(each.get(key, "")) for each in flat])
        for key in keys
        if any(each.get(key) != flat[0].get(key) for each in flat)
    ]
    return found + _versions(infos)


def _versions(infos: Sequence[RunInfo]) -> list[tuple[str, list[str]]]:
    """Those that differ among runs that have them: only real ones have torch, and not every build knows its commit.

    What others made is compared within a kind: a replay is made on another machine than its simulation.
    """
    names = dict.fromkeys(name for info in infos for name in info.versions if name != _CHANGES_NOTHING)
    return [
        (f"versions.{name}", [info.versions.get(name, "") for info in infos])
        for name in names
        if any(len(told) > 1 for told in _told(name, infos))
    ]


def _told(name: str, infos: Sequence[RunInfo]) -> list[set[str]]:
    """The versions that runs have of something, of one kind where it is not ours."""
    groups: dict[str, set[str]] = {}
    for info in infos:
        if version := info.versions.get(name):
            groups.setdefault("" if name in _OURS else info.kind, set()).add(version)
    return list(groups.values())


def _settings(info: RunInfo) -> dict[str, Any]:
    """Model and device are there by name, and what they amount to as memory."""
    scenario = msgspec.to_builtins(info.scenario)
    inputs = scenario.pop("inputs") or {}
    return _flat({"kind": info.kind, "seed": info.seed, "limits": inputs.get("limits", {})} | scenario)


def _flat(value: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, inner in value.items():
        if key in ("trace", "memory", "limits"):
            found |= _flat(inner, f"{key}.")
        else:
            found[prefix + key] = inner
    return found
