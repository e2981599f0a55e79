"""Every error that a user of WarpGroup can meet, in one tree.

    WarpGroupError
    ├── InvalidTrace      a trace file that cannot be read as one
    ├── InvalidScenario   a scenario, specification or parameter that does not make sense
    ├── UnknownName       a model, device, policy or scenario that does not exist
    ├── OverBudget        a model that leaves no room for a KV cache on the device
    ├── InvalidModel      a model folder whose config or weights cannot be used
    ├── DeviceUnavailable a GPU, a Ray cluster, or a library for one of them, that is not there
    ├── OutputRefused     a folder or file that must not or cannot be written
    ├── QueueFull         a request that the submission queue has no room for, or that came after its end
    ├── InvalidRun        a run folder that cannot be read, or whose files do not belong together
    └── InvalidProfile    a calibrated profile that cannot be read, or steps from which none can be fitted

Each message is one line: what is wrong, where, and what to do about it. Expected overload (a rejected
request, an out-of-memory step) is an outcome in the record of a run, never an exception; a submitter that
meets a full queue is told by one, since it has to decide what to do.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class WarpGroupError(Exception):
    """Base of all errors that are the input's fault, not the program's."""


class InvalidTrace(WarpGroupError):
    """A trace file is missing, damaged, of an unknown format, or holds no usable row."""


class InvalidScenario(WarpGroupError):
    """A scenario, specification or option value is malformed or out of range."""


class UnknownName(WarpGroupError):
    """A name that is in no catalogue; the message suggests the nearest one.

    Args:
        kind: what was looked up, in the singular ("model").
        name: the name as given.
        known: every name that would have worked.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        near = get_close_matches(name.lower(), names, n=1, cutoff=0.5)
        hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(names)}"
        super().__init__(f"unknown {kind} '{name}': {hint}")


class Interrupted(Exception):
    """The user stopped a run. What was done by then is kept, marked incomplete."""


class OverBudget(WarpGroupError):
    """The weights and fixed costs alone exceed the VRAM budget."""


class InvalidModel(WarpGroupError):
    """A model folder is missing, damaged, of an unsupported family, or its weights do not match its config."""


class DeviceUnavailable(WarpGroupError):
    """The device or cluster that was asked for, or a library for it, is missing or too old."""


class OutputRefused(WarpGroupError):
    """The output place is occupied, or cannot be written."""


class QueueFull(WarpGroupError):
    """The submission queue has no room, for as long as the submitter would wait; or it is closed."""


class InvalidRun(WarpGroupError):
    """A run folder is missing, incomplete beyond reading, of a newer schema, or its files are not of one run."""


class InvalidProfile(WarpGroupError):
    """A profile is missing, damaged or of another version, or there is too little to fit one to."""


def quoted(content: object, limit: int = 40) -> str:
    """Content of a file in quotes, for a message of one line: at most `limit` characters, unprintable ones as `?`.

    Bytes, and whatever else has a buffer, are read as UTF-8; other objects as their `str`.
    """
    if isinstance(content, str):
        text = content[: 4 * limit]
    else:
        try:
            text = bytes(memoryview(content)[: 4 * limit]).decode(errors="replace")  # type: ignore[arg-type]
        except TypeError:
            text = str(content)
    text = text.strip()
    shown = "".join(character if character.isprintable() else "?" for character in text[:limit])
    return f"'{shown}...'" if len(text) > limit else f"'{shown}'"
