"""JSON and TOML files decoded into structs, with an error that names the file and the key."""

import re
from typing import TypeVar

import msgspec

from ..errors import InvalidScenario, quoted

_Struct = TypeVar("_Struct", bound=msgspec.Struct)
_LONGEST = 42  # characters, with the quotes
_CONTENT = re.compile(r"`([^`]*)`|'([^']*)'")


def decode_struct(data: bytes, kind: type[_Struct], *, toml: bool, what: str) -> _Struct:
    """Decode a file.

    Args:
        what: the file in an error, such as `scenario mine.toml`.

    Raises:
        InvalidScenario: the file is not JSON or TOML, or one of its keys is wrong.
    """
    try:
        return msgspec.toml.decode(data, type=kind) if toml else msgspec.json.decode(data, type=kind)
    except InvalidScenario as error:
        raise InvalidScenario(f"{what}: {error}") from None
    except msgspec.ValidationError as error:
        problem, _, key = str(error).partition(" - at `$.")
        raise InvalidScenario(f"{what}: {key.rstrip('`') or 'top level'}: {problem_of(problem)}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        form = "TOML" if toml else "JSON"
        raise InvalidScenario(f"{what} is not {form}: {problem_of(error)}") from None


def problem_of(error: object) -> str:
    """The message of a decoder in one line, with what it quotes of the file shortened."""
    message = " ".join(str(error).split())
    return _CONTENT.sub(_shortened, message)


def _shortened(found: re.Match[str]) -> str:
    whole = found[0]
    return whole if len(whole) <= _LONGEST and whole.isprintable() else quoted(whole[1:-1])
