"""Every error that a user of WarpGroup can meet, in one tree.

    WarpGroupError
    ├── InvalidTrace      a trace file that cannot be read as one
    ├── InvalidScenario   a scenario, specification or option value that is malformed or out of range
    ├── UnknownName       a model, device, policy or scenario that does not exist
    ├── OverBudget        a model beside which no KV cache fits on the device
    ├── InvalidModel      a model folder whose config or weights cannot be used
    ├── DeviceUnavailable a GPU, a Ray cluster, or a library for one of them, that is missing
    ├── OutputRefused     a folder or file that must not or cannot be written; FolderInUse: one that is not empty
    ├── QueueFull         a request for which the submission queue has no space, or that came after its end
    ├── InvalidRun        a run folder that cannot be read, or whose files belong to different runs
    ├── InvalidProfile    a calibrated profile that cannot be read, or steps from which none can be fitted
    └── NoAblation        a policy that cannot be reached from the baseline one switch at a time

Each message is one line: what is wrong, where, and what to do about it. Expected overload (a rejected request, an
out-of-memory step) is an outcome in the record of a run, not an exception. A full submission queue is an exception,
because the submitter must decide what to do.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class WarpGroupError(Exception):
    """Base class of all errors that the input causes, not the program."""


class InvalidTrace(WarpGroupError):
    """A trace file is missing, damaged, of an unknown format, or holds no usable row."""


class InvalidScenario(WarpGroupError):
    """A scenario, specification or option value is malformed or out of range."""


class UnknownName(WarpGroupError):
    """A name that no catalogue has; the message suggests the nearest one.

    Args:
        kind: the kind of thing, in the singular ("model").
        name: the name as given.
        known: all valid names.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        near = get_close_matches(name.lower(), names, n=1, cutoff=0.5)
        hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(names)}"
        super().__init__(f"unknown {kind} '{name}': {hint}")


class Interrupted(Exception):
    """The user stopped a run. The results so far are kept and marked incomplete."""


class OverBudget(WarpGroupError):
    """Weights and fixed costs leave too little of the VRAM budget for a KV cache."""


class InvalidModel(WarpGroupError):
    """A model folder is missing, damaged, of an unsupported family, or its weights do not match its config."""


class DeviceUnavailable(WarpGroupError):
    """The requested device or cluster, or a library for it, is missing or too old."""


class OutputRefused(WarpGroupError):
    """The output folder or file exists already, or cannot be written."""


class FolderInUse(OutputRefused):
    """The output folder is not empty."""


class QueueFull(WarpGroupError):
    """The submission queue had no space within the submitter's timeout, or it is closed."""


class InvalidRun(WarpGroupError):
    """A run folder is missing, unreadable, of a newer schema, or its files belong to different runs."""


class InvalidProfile(WarpGroupError):
    """A profile is missing, damaged or of another version, or there are too few measurements to fit one."""


class NoAblation(WarpGroupError):
    """The policy cannot be reached from the baseline one switch at a time, for example because a switch is unknown."""


def as_given(value: object) -> str:
    """A value for a message of one line: text in quotes, other values as Python writes them, at most 40 characters."""
    return quoted(value) if isinstance(value, str | bytes) else quoted(str(value))[1:-1]


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
