"""Settings and versions in which compared runs differ, although a comparison of policies needs them equal."""

from collections.abc import Sequence
from typing import Any

import msgspec

from ...records import RunInfo

_MEASURED = ("memory.context_bytes", "memory.graph_pool_bytes", "limits.graph_pool_bytes", "limits.slack_bytes")
"""An engine measures these whenever it starts. The KV pool, which follows from them, is compared."""
_CHANGES_NOTHING = "python"  # a simulation gives the same bits under every version of Python
_OURS = ("warpgroup", "commit")


def differences(infos: Sequence[RunInfo]) -> list[tuple[str, list[str]]]:
    """The name of each difference, and its value in every run. Parity checks are left out: they repeat another run."""
    infos = [info for info in infos if not info.is_parity_check] or infos
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
    """Versions that differ among the runs that have them: only real runs have torch, and some builds have no commit.

    Versions of third-party packages are compared only among runs of one kind, because a replay and its simulation run
    on different machines.
    """
    names = dict.fromkeys(name for info in infos for name in info.versions if name != _CHANGES_NOTHING)
    return [
        (f"versions.{name}", [info.versions.get(name, "") for info in infos])
        for name in names
        if any(len(told) > 1 for told in _told(name, infos))
    ]


def _told(name: str, infos: Sequence[RunInfo]) -> list[set[str]]:
    """The versions of one package; separately for each kind of run if the package is not ours."""
    groups: dict[str, set[str]] = {}
    for info in infos:
        if version := info.versions.get(name):
            groups.setdefault("" if name in _OURS else info.kind, set()).add(version)
    return list(groups.values())


def _settings(info: RunInfo) -> dict[str, Any]:
    """All settings. Model and device are compared by name, and by the memory that follows from them."""
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
