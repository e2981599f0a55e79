"""A plain JSON list of [prompt, output] pairs."""

from typing import Any

import msgspec
import numpy as np

from .raw import RawRows

LOOKS_LIKE = "a JSON list of [prompt, output]"


def recognises(text: bytes) -> bool:
    """A list whose first element is a list."""
    return text.lstrip()[:1] == b"[" and text.lstrip()[1:].lstrip()[:1] in (b"[", b"]")


def read(text: bytes) -> RawRows:
    """Lengths only; a row is an element's place in the list, from 1 on. A cut-off file ends at its last pair."""
    try:
        elements = msgspec.json.decode(text)
        cut = []
    except msgspec.DecodeError:
        whole, _, rest = text.rpartition(b"]")
        elements, cut = (
            _up_to_the_cut(whole),
            [rest.decode().strip(", \n") or "the end of the list is missing"],
        )
    pairs = [(number, pair) for number, pair in enumerate(elements, 1) if _is_pair(pair)]
    unreadable = [(number, str(each)) for number, each in enumerate(elements, 1) if not _is_pair(each)]
    unreadable += [(len(elements) + 1, text) for text in cut]
    lengths = np.array([pair for _, pair in pairs], dtype=np.float64).reshape(-1, 2)
    return RawRows(
        row=np.array([number for number, _ in pairs], dtype=np.int64),
        prompt=lengths[:, 0],
        output=lengths[:, 1],
        unreadable=unreadable,
    )


def _up_to_the_cut(text: bytes) -> list[Any]:
    try:
        elements = msgspec.json.decode(text + b"]]")
    except msgspec.DecodeError:
        return []
    return elements if isinstance(elements, list) else []


def _is_pair(element: Any) -> bool:
    return (
        isinstance(element, list)
        and len(element) == 2
        and all(isinstance(n, int | float) and not isinstance(n, bool) for n in element)
    )
