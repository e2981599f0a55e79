"""The settings of a gate: what perf-gate.toml may hold. `config_file.py` reads it."""

from datetime import date
from typing import Annotated, Any

import msgspec

SHARE_PATTERN = r"^\s*\d+(\.\d+)?\s*%\s*$"
Share = Annotated[str, msgspec.Meta(pattern=SHARE_PATTERN)]


class InvalidSetting(ValueError):
    """A class refuses the value of one of its settings; `key` is the setting's name in the table of the class."""

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(reason)
        self.key = key


class Waiver(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Allows a check to fail until a date.

    Attributes:
        check: id of the check, such as "timed:bench_gate.py::test_pack[ffd]:CPU time, s a call"; * matches any text.
        until: the last day of the waiver.
    """

    check: Annotated[str, msgspec.Meta(min_length=1)]
    until: date
    reason: Annotated[str, msgspec.Meta(min_length=1)]


class SharedSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The settings of perf-gate.toml that belong to no class.

    Attributes:
        budget_s: seconds for all timed benchmarks together.
        baseline: folder of the accepted figures, relative to the file.
        thresholds: by name of a benchmark; replaces the threshold of its class.
    """

    budget_s: Annotated[float, msgspec.Meta(gt=0)] = 600
    baseline: str = "baselines"
    thresholds: dict[str, Share] = {}
    waive: tuple[Waiver, ...] = ()


class GateConfig(SharedSettings, frozen=True):
    """All settings of a gate.

    Attributes:
        classes: the settings of each class that the file has a table of, by its name. Other classes are not measured.
    """

    classes: dict[str, Any] = {}

    @property
    def limits(self) -> dict[str, float]:
        """The thresholds of single benchmarks, by name, as shares."""
        return {name: share(text) for name, text in self.thresholds.items()}


def share(text: str) -> float:
    """Convert a percentage: '2.5%' is 0.025."""
    return float(text.strip().rstrip("%")) / 100
