"""Opens a gate from what the command line says."""

from collections.abc import Callable
from pathlib import Path

from ...errors import InvalidScenario, OutputRefused
from ...records import command_line
from .builds import root_of
from .classes.registry import CLASSES
from .config_file import read_config
from .gate import Gate, SimulateFigures


def open_gate(
    config: Path,
    *,
    simulate_figures: SimulateFigures,
    base: str = "HEAD",
    only: str | None = None,
    builds: Path | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Gate:
    """Read the configuration and create the builds folder.

    Args:
        only: comma-separated names of classes; None: all that are configured.
        builds: None: build/gate in the repository of the configuration.

    Raises InvalidScenario: wrong usage. OutputRefused: the builds folder cannot be written.
    """
    read = read_config(config)
    names = only.split(",") if only else []
    if unknown := [name for name in names if name not in CLASSES]:
        raise InvalidScenario(f"--only {unknown[0]}: expected some of {', '.join(CLASSES)}")
    folder = (builds or root_of(config) / "build" / "gate").resolve()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputRefused(f"cannot write to {folder}: {error.strerror}; choose another --builds") from None
    return Gate(
        config=read,
        path=config.resolve(),
        builds=folder,
        simulate_figures=simulate_figures,
        base=base,
        only=names,
        command=command_line(),
        say=say,
    )
