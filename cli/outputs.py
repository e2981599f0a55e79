"""Checks of an output file, before any work is done."""

from pathlib import Path

from ..errors import OutputRefused
from ..records import refuse_existing


def check_output(output: Path | None, option: str, *suffixes: str, force: bool) -> None:
    """Refuse a file that exists, or whose suffix is that of another format.

    Args:
        output: None: the option was not given, and nothing is checked.
        suffixes: what the name may end in; a name without any suffix is allowed.

    Raises:
        OutputRefused: the suffix is another one, the file exists and `force` is false, or its folder is missing.
    """
    if output is None:
        return
    if output.suffix and output.suffix.lower() not in suffixes:
        raise OutputRefused(
            f"{option} {output}: this command writes {' or '.join(suffixes)}, not {output.suffix}; change the name"
        )
    refuse_existing(output, option, force=force)
