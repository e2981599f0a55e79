"""The runtime: drives the core's scheduler over a trace, with a real model on a real device, and measures.

Its names are loaded at first use: importing this package, or the list of attention backends, does not import torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ..errors import DeviceUnavailable
from .attention.registry import BACKENDS
from .extras import install_command

if TYPE_CHECKING:
    from .attention.choice import choose_attention, require_blocks
    from .calibration.calibrate import calibrate
    from .generation import generate
    from .machine import Machine, open_machine
    from .replay.progress import Progress, ReplayOptions
    from .replay.replay import Replay
    from .replay.replay_all import missing_runs, replay_all
    from .replay.session import Session, open_session

_MODULES = {
    "Machine": "machine",
    "Progress": "replay.progress",
    "Replay": "replay.replay",
    "ReplayOptions": "replay.progress",
    "Session": "replay.session",
    "calibrate": "calibration.calibrate",
    "choose_attention": "attention.choice",
    "generate": "generation",
    "missing_runs": "replay.replay_all",
    "open_machine": "machine",
    "open_session": "replay.session",
    "replay_all": "replay.replay_all",
    "require_blocks": "attention.choice",
}
"""The module of each public name that needs torch."""

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


def __getattr__(name: str) -> Any:
    """Load a public name. Raises DeviceUnavailable: torch is not installed."""
    if name not in _MODULES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    try:
        return getattr(import_module(f".{_MODULES[name]}", __name__), name)
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise DeviceUnavailable(
            f"running a model needs torch, which is not installed: run {install_command('runtime')}"
        ) from None
