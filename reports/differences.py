"""Settings in which runs differ that are laid side by side, though a comparison of policies wants them equal."""

from collections.abc import Sequence
from typing import Any

import msgspec

from ..records import RunInfo


def differences(infos: Sequence[RunInfo]) -> list[tuple[str, list[str]]]:
    """Name of each such setting, and its value in every run."""
    flat = [_flat({"kind": info.kind, "seed": info.seed} | msgspec.to_builtins(info.scenario)) for info in infos]
    keys = flat[0] if flat else {}
    return [
        (key, [str(each.get(key, "")) for each in flat])
        for key in keys
        if any(each.get(key) != flat[0][key] for each in flat)
    ]


def _flat(value: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, inner in value.items():
        if key in ("trace", "memory"):
            found |= _flat(inner, f"{key}.")
        else:
            found[prefix + key] = inner
    return found
