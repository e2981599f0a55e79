"""The runtime: drives the core's scheduler over a trace with a real model on a real device, and measures."""

from .attention import BACKENDS, choose_attention, require_blocks
from .calibration.calibrate import calibrate
from .generate import generate
from .machine import Machine, open_machine
from .replay.replay import Progress, Replay, ReplayOptions
from .replay.replay_all import missing_runs, replay_all
from .replay.session import Session, open_session

__all__ = [
    "BACKENDS",
    "Machine",
    "Progress",
    "Replay",
    "ReplayOptions",
    "Session",
    "calibrate",
    "choose_attention",
    "generate",
    "missing_runs",
    "open_machine",
    "open_session",
    "replay_all",
    "require_blocks",
]
