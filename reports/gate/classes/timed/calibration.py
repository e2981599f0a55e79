"""The calibration of a machine: what `warpgroup gate calibrate` measured, and whether it applies here."""

from pathlib import Path

import msgspec

from ...gate import Gate
from ...machine import machine_now
from .decision import TimingRule


class Calibration(msgspec.Struct, frozen=True):
    """The smallest slow-down that a machine detects, as a share, by benchmark."""

    date: str
    machine: dict[str, str]
    launches: tuple[int, int]
    pairs: int
    detectable: dict[str, float]


def calibration_file(gate: Gate) -> Path:
    """The file of the calibration in the builds folder."""
    return gate.builds / "calibration.json"


def read_detectable(path: Path, rule: TimingRule) -> dict[str, float]:
    """The detectable slow-downs, if the file was measured on this machine and by this rule; otherwise empty."""
    try:
        calibration = msgspec.json.decode(path.read_bytes(), type=Calibration)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return {}
    is_same_rule = (calibration.launches, calibration.pairs) == (rule.launches, rule.pairs)
    return calibration.detectable if is_same_rule and calibration.machine == machine_now() else {}
