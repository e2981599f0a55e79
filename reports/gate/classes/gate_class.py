"""What a class of metrics is: how it is measured, accepted, explained and drawn."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Protocol, TypeVar

import msgspec

from ..baseline import BaselineUpdate
from ..gate import Gate
from ..result import Check, GateResult

S = TypeVar("S", bound=msgspec.Struct)


class ShownClass(Protocol):
    """What the outputs need to know of a class of metrics.

    Attributes:
        name: `Check.kind` of its checks.
        rule: the explanation on the page: what is measured, and when a check fails.
        blocks: whether a failed check fails the gate; if not, failures are only reported.
        lists_changes: whether the page lists the values of its checks that changed over the history.
    """

    name: str
    rule: str
    blocks: bool = True
    lists_changes: bool = False

    def figure(self, checks: Sequence[Check], history: Sequence[GateResult]) -> str:
        """The figure of the page as SVG; empty if the class has none.

        Args:
            checks: those of this class, the worst first.
            history: earlier results, the oldest first.
        """
        return ""


class GateClass(ShownClass, Protocol[S]):
    """A class that `warpgroup gate run` measures and `warpgroup gate accept` accepts.

    Attributes:
        settings: the type of its table in perf-gate.toml; the table has the name of the class.
        needs_base: whether it compares with the base commit and not only with the accepted baseline.
    """

    settings: type[S]
    needs_base: bool = False

    @abstractmethod
    def measure(self, gate: Gate, settings: S) -> list[Check]:
        """Measure and judge the working tree. Raises Broken: it cannot be measured. InvalidScenario: wrong usage."""

    @abstractmethod
    def accept(self, gate: Gate, settings: S) -> BaselineUpdate:
        """Measure the working tree as a new baseline, without writing it. Raises Broken: it cannot be measured."""
