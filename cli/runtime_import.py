"""The runtime, loaded only by the commands that need it: it alone needs torch."""

from typing import Any

from ..errors import DeviceUnavailable


def import_runtime(purpose: str) -> Any:
    """The package `runtime`. Raises DeviceUnavailable: torch is not installed, so `purpose` is impossible."""
    try:
        from .. import runtime
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise DeviceUnavailable(
            f"{purpose} needs torch, which is not installed: run pip install '.[runtime]' in a clone of warpgroup"
        ) from None
    return runtime
