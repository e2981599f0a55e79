"""Quantities: nanoseconds in a second, and sizes as people write them."""

import re

from ..errors import InvalidScenario

NS = 1_000_000_000
"""Nanoseconds in a second."""

_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}


def parse_bytes(text: str) -> int:
    """`24GiB`, `512 MiB`, `80GB` or plain bytes, as bytes. Raises InvalidScenario."""
    match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)\s*", text)
    unit = _UNITS.get(match[2].lower()) if match else None
    size = float(match[1]) * unit if match and unit else 0.0
    if not 1 <= size < 2**63:
        raise InvalidScenario(f"size '{text}': expected a number with GiB, MiB, GB or MB, such as 24GiB")
    return int(size)
