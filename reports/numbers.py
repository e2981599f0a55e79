"""How numbers are written, in the same way in every table, sentence and figure."""

import re
from collections.abc import Sequence

GIB = 1 << 30
MIB = 1 << 20

ENOUGH_FOR_P99 = 662
"""Finished requests that a p99 needs: MLPerf's bound for a conservative p99 estimate."""


def three_digits(value: float) -> str:
    """Three significant digits, thousands separated, never an exponent for large numbers."""
    return f"{value:,.0f}" if abs(value) >= 99.95 else f"{value:#.3g}"


def seconds(value: float) -> str:
    """A duration in milliseconds, or in seconds from 1 s on."""
    return f"{value * 1000:.0f} ms" if value < 1 else f"{three_digits(value)} s"


def gib(size: float, decimals: int = 1) -> str:
    """A size in GiB, or in MiB if it is below 0.1 GiB."""
    return f"{size / GIB:.{decimals}f} GiB" if size >= GIB / 10 else f"{size / MIB:.{decimals}f} MiB"


def percent(share: float) -> str:
    """A share in whole per cent; a small share is "<1%" and never "0%"."""
    return "<1%" if 0 < share < 0.005 else f"{share:.0%}"


def listed(items: Sequence[str], conjunction: str = "and") -> str:
    """The items as a list in words: "one, two and three"."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} {conjunction} {items[-1]}"


def typeset(text: str) -> str:
    """Replace the ASCII signs of terminal text by typographic ones for a page: 1.25×, rate ×2, ≤, ≥, minus sign."""
    text = text.replace("<=", "≤").replace(">=", "≥")
    text = re.sub(r"(?<![^\s(\[])-(?=\d)", "\N{MINUS SIGN}", text)
    return re.sub(r"(?<=\.\d\d)x\b|(?<= )x(?=\d)", "×", text)
