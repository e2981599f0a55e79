"""How figures are written, the same way everywhere."""

import re

GIB = 1 << 30

ENOUGH_FOR_P99 = 662
"""Finished requests below which a p99 is rough: MLPerf's bound for a conservative p99 estimate."""


def three_digits(value: float) -> str:
    """Three significant digits, thousands separated, never an exponent for large numbers."""
    return f"{value:,.0f}" if abs(value) >= 99.95 else f"{value:#.3g}"


def seconds(value: float) -> str:
    """A duration in the unit that suits it."""
    return f"{value * 1000:.0f} ms" if value < 1 else f"{three_digits(value)} s"


def gib(size: float) -> str:
    """A size in GiB."""
    return f"{size / GIB:.1f} GiB"


def typeset(text: str) -> str:
    """For a page, the signs that text for a terminal does without: 1.25×, rate ×2, ≤ and ≥."""
    text = text.replace("<=", "≤").replace(">=", "≥")
    return re.sub(r"(?<=\.\d\d)x\b|(?<= )x(?=\d)", "×", text)
