"""Settings in which runs differ that are laid side by side, though a comparison of policies wants them equal."""

from collections.abc import Sequence
from typing import Any

import msgspec

from ..records import RunInfo

_MEASURED = ("memory.context_bytes", "memory.graph_pool_bytes", "limits.graph_pool_bytes")
"""Anew whenever an engine is started. What they leave for the KV pool is compared."""


def differences(infos: Sequence[RunInfo]) -> list[tuple[str, list[str]]]:
    """Name of each such setting, and its value in every run."""
    flat = [_settings(info) for info in infos]
    keys = dict.fromkeys(key for each in flat for key in each)
    if any(info.kind == "real" for info in infos):
        keys = {key: None for key in keys if key not in _MEASURED}
    return [
        (key, [str(each.get(key, "")) for each in flat])
        for key in keys
        if any(each.get(key) != flat[0].get(key) for each in flat)
    ]


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
