"""The `--help` of a command: its docstring, panels of options, and examples at its end."""

import inspect
from collections.abc import Callable
from typing import Any

from typer import Option, Typer


def option(*names: str, help: str, panel: str, metavar: str | None = None, **more: Any) -> Any:
    """An option in a panel of `--help`; its text says the default, if a reader needs it."""
    return Option(*names, help=help, rich_help_panel=panel, metavar=metavar, **{"show_default": False, **more})


def examples(*commands: str) -> str:
    """The end of a `--help`: commands that can be typed as they are."""
    return "\n\n".join(["Examples:", *commands])


def add_command(app: Typer, name: str, command: Callable[..., None], epilog: str) -> None:
    """Give `app` a command. Lines of its docstring are joined: the terminal wraps paragraphs at its own width."""
    paragraphs = inspect.cleandoc(command.__doc__ or "").split("\n\n")
    text = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
    app.command(name, help=text, epilog=epilog)(command)
