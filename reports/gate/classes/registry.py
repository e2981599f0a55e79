"""The list of classes. A new class is one module and one line here."""

from collections.abc import Iterable
from typing import Any

from ..gate import Gate
from ..result import Check
from .counted.counted_class import CountedClass
from .exact import ExactClass
from .gate_class import GateClass, ShownClass
from .timed.timed_class import TimedClass
from .trend.trend_class import TrendClass

_MEASURED: tuple[GateClass[Any], ...] = (
    ExactClass(),
    CountedClass(),
    TimedClass(),
)

CLASSES: dict[str, GateClass[Any]] = {each.name: each for each in _MEASURED}
"""The classes that `gate run` measures, by name, in the order in which they are measured and shown."""


def shown_classes() -> dict[str, ShownClass]:
    """All classes that a result may have checks of, by name, in the order in which they are shown."""
    trend = TrendClass()
    return {**CLASSES, trend.name: trend}


def wanted_classes(gate: Gate) -> list[tuple[GateClass[Any], Any]]:
    """The classes that a gate is to measure, each with its settings."""
    return [
        (each, gate.config.classes[name])
        for name, each in CLASSES.items()
        if name in gate.config.classes and (not gate.only or name in gate.only)
    ]


def by_class(checks: Iterable[Check]) -> list[tuple[str, list[Check]]]:
    """The checks of each class that has any; classes that this version does not know come last."""
    groups: dict[str, list[Check]] = {name: [] for name in shown_classes()}
    for check in checks:
        groups.setdefault(check.kind, []).append(check)
    return [(name, found) for name, found in groups.items() if found]
