"""The `--help` of a command: its docstring, panels of options, and examples at its end."""

import inspect
from collections.abc import Callable
from typing import Any

from typer import CallbackParam, Option, Typer

from ..workloads import LONGEST_TOKENS, number_within, whole_within


def option(
    *names: str,
    help: str,
    panel: str,
    metavar: str = "",
    min: float | None = None,
    max: float = LONGEST_TOKENS,
    **more: Any,
) -> Any:
    """An option in a panel of `--help`; its text says the default, if a reader needs it.

    Args:
        metavar: what stands for the value in `--help`; a switch has none.
        min, max: the least and the most of a number, checked if `min` is given.
    """
    if min is not None:
        more["callback"] = _range_check(min, max)
    return Option(*names, help=help, rich_help_panel=panel, metavar=metavar, **{"show_default": False, **more})


def _range_check(least: float, most: float) -> Callable[..., Any]:
    """Refuses a number outside of the range in the words of the Python functions."""

    def check(param: CallbackParam, value: Any) -> Any:
        name = param.opts[0]
        if isinstance(value, int):
            whole_within(name, value, int(least), int(most))
        elif value is not None:
            number_within(name, value, least, most)
        return value

    return check


def examples(*commands: str) -> str:
    """The end of a `--help`: commands that can be typed as they are."""
    return "\n\n".join(["Examples:", *commands])


def add_command(app: Typer, name: str, command: Callable[..., None], epilog: str) -> None:
    """Give `app` a command. Lines of its docstring are joined: the terminal wraps paragraphs at its own width."""
    paragraphs = inspect.cleandoc(command.__doc__ or "").split("\n\n")
    text = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
    app.command(name, help=text, epilog=epilog)(command)
