"""The `warpgroup` command, also as `python -m warpgroup`."""

import sys
from typing import NoReturn


def main() -> NoReturn:
    """Load the command line and run it. Ctrl-C ends it with one line and exit code 130, also while it loads."""
    try:
        from .cli.main import run_command_line

        run_command_line()
    except KeyboardInterrupt:
        pass
    except ImportError as error:
        if not _is_interrupted(error):
            raise
    print("error: interrupted", file=sys.stderr)
    sys.exit(130)


def _is_interrupted(error: BaseException | None) -> bool:
    """Whether Ctrl-C caused the error: the C++ core reports it as an ImportError if it is being loaded."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__cause__ or error.__context__
    return False


if __name__ == "__main__":
    main()
