"""ServeGen's description of clients: the request rate of each in windows of 600 s, and the lengths of its requests.

`chunk-N-trace.csv` has no header; its rows are `t,rate,cv,Gamma|Weibull,shape,scale`, and `t,0,0,,0,0` for an idle
window. `chunk-N-dataset.json` maps the start of each window of 6 hours to `input_tokens` and `output_tokens`. Each of
these is a string with a Python dict of tokens and their probabilities, or `{}` if no request came. A grammar of this
module reads the strings, so that no code in them can run.
"""

import hashlib
import math
import re
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from ...errors import InvalidTrace, quoted
from ..readers.raw import Floats
from .cleaning import Finding
from .servegen_files import ARCHIVE_LIMIT_BYTES, ClientFile, client_files

WINDOW_S = 600
LONGEST_LITERAL = 4 << 20
MOST_ROWS = 1 << 18
"""The most rows of one client: five years of windows."""
DISTRIBUTIONS = ("Gamma", "Weibull")

_SHAPES = (0.005, 1e6)
"""With other shapes, gaps in float64 are 0, infinite or all equal."""
_LATEST_S = 8e9
"""Later times do not fit int64 nanoseconds."""
_NUMBER = r"-?\d++(?:\.\d++)?+(?:[eE][+-]?\d++)?+"
_PAIR = rf"\s*+-?\d++\s*+:\s*+{_NUMBER}\s*+"
_PDF = re.compile(rf"\s*+\{{(?:\s*+|{_PAIR}(?:,{_PAIR})*+)\}}\s*+", re.ASCII)


class Window(NamedTuple):
    """600 s of a client: a rate in requests/s, and the distribution and shape of the gaps. It is not idle."""

    start_s: float
    rate_s: float
    distribution: str
    shape: float


class Pdf(NamedTuple):
    """A distribution of lengths: tokens, and the probability of each number of tokens or fewer."""

    tokens: Floats
    cumulated: Floats

    def draw(self, count: int, rng: np.random.Generator) -> Floats:
        """Draw `count` lengths in tokens."""
        chosen = np.searchsorted(self.cumulated, rng.random(count), side="right")
        return self.tokens[np.minimum(chosen, len(self.tokens) - 1)]


class Lengths(NamedTuple):
    """The distributions of a window's prompts and outputs, which are drawn independently.

    `instead_of` is the reason why they are from another window; it is empty if they are from the window itself.
    """

    prompt: Pdf
    output: Pdf
    instead_of: str = ""


class _Literals(msgspec.Struct):
    input_tokens: str
    output_tokens: str


class LengthWindows:
    """The lengths of one client by window; a window is decoded at its first use."""

    def __init__(self, windows: dict[float, msgspec.Raw]) -> None:
        self._windows = sorted(windows.items())
        self._starts = [start for start, _ in self._windows]
        self._read: dict[int, Lengths | str] = {}

    def at(self, time_s: float) -> Lengths | None:
        """The lengths of the window at this time, or else of the nearest earlier usable window, or of a later one."""
        own = max(bisect_right(self._starts, time_s) - 1, 0)
        why = ""
        for index in (*range(own, -1, -1), *range(own + 1, len(self._starts))):
            if index not in self._read:
                self._read[index] = _lengths(self._windows[index][1])
            found = self._read[index]
            if isinstance(found, Lengths):
                return found._replace(instead_of=why)
            why = why or found
        return None


@dataclass(slots=True, eq=False)
class Client:
    """One client. `without` is the reason why it has no lengths, if it has none."""

    number: int
    windows: list[Window] = field(default_factory=list)
    lengths: LengthWindows | None = None
    without: str = "no dataset.json"

    def lengths_at(self, time_s: float) -> Lengths | None:
        """The lengths at this time; None where the client has none."""
        return None if self.lengths is None else self.lengths.at(time_s)

    def within(self, start_s: float, end_s: float) -> list[Window]:
        """The windows that overlap the span."""
        first = bisect_right(self.windows, start_s - WINDOW_S, key=attrgetter("start_s"))
        return self.windows[first : bisect_left(self.windows, end_s, key=attrgetter("start_s"))]


@dataclass(slots=True)
class Clients:
    """All clients of a folder or an archive.

    Attributes:
        known: in order of their numbers.
        first_s, end_s: the span of all windows, including idle ones.
        findings: by reason, the rows and files that cannot be used.
        sha256: of the files' names and hashes, equal to `sha256sum chunk-* | sha256sum` in the C locale.
    """

    known: list[Client] = field(default_factory=list)
    first_s: float = math.inf
    end_s: float = 0.0
    findings: dict[str, Finding] = field(default_factory=dict)
    sha256: str = ""

    def note(self, reason: str, what: str) -> None:
        """Count one more row or file under a reason."""
        before = self.findings.get(reason, Finding(reason, 0, 0, what))
        self.findings[reason] = before._replace(rows=before.rows + 1)


def read_clients(path: Path, *, unpacked_limit_bytes: int = ARCHIVE_LIMIT_BYTES) -> Clients:
    """Read all clients of a folder or an archive. Raises InvalidTrace: as `client_files`, or there is no client."""
    clients, by_number = Clients(), dict[int, Client]()
    hashes = {}
    has_windows = set()
    for file in client_files(path, unpacked_limit_bytes=unpacked_limit_bytes):
        hashes[file.name] = hashlib.sha256(file.content).hexdigest()
        client = by_number.setdefault(file.client, Client(file.client))
        if file.kind == "trace.csv":
            has_windows.add(file.client)
            if file.content.count(b"\n") > MOST_ROWS:
                raise InvalidTrace(f"{path}: {file.name} has more than {MOST_ROWS:,} rows: leave it out")
            client.windows = _windows(file, clients)
        else:
            client.lengths = _length_windows(file.content)
            client.without = (
                "its dataset.json has none" if client.lengths else "its dataset.json does not map windows to lengths"
            )
    if not has_windows:
        raise InvalidTrace(f"{path} has no client: expected ServeGen's chunk-N-trace.csv and chunk-N-dataset.json")
    for number in sorted(by_number.keys() - has_windows):
        clients.note("client_without_windows", f"client {number}: no trace.csv")
    listing = "".join(f"{digest}  {name}\n" for name, digest in sorted(hashes.items()))
    clients.sha256 = hashlib.sha256(listing.encode()).hexdigest()
    clients.known = [by_number[number] for number in sorted(has_windows)]
    return clients


def _windows(file: ClientFile, clients: Clients) -> list[Window]:
    found: list[Window] = []
    last_s = -math.inf
    for row, line in enumerate(file.content.decode("utf-8-sig", errors="replace").split("\n"), 1):
        if not line.strip():
            continue
        window = _window(line.split(","), last_s)
        if isinstance(window, str):
            clients.note(window, f"{file.name} row {row}: {quoted(line)}")
            continue
        last_s = window.start_s
        clients.first_s, clients.end_s = min(clients.first_s, last_s), max(clients.end_s, last_s + WINDOW_S)
        if window.rate_s:
            found.append(window)
    return found


def _window(cells: list[str], last_s: float) -> Window | str:
    """The window of a row, or the reason why the row has none."""
    if len(cells) != 6:
        return "window_not_readable"
    try:
        start_s, rate_s, shape = float(cells[0]), float(cells[1]), float(cells[4])
    except ValueError:
        return "window_not_readable"
    if not 0 <= start_s <= _LATEST_S:
        return "window_time_out_of_range"
    if start_s < last_s + WINDOW_S:
        return "window_overlaps_the_one_before"
    if not math.isfinite(rate_s):
        return "window_rate_not_a_number"
    if rate_s < 0:
        return "window_rate_negative"
    if rate_s and cells[3] not in DISTRIBUTIONS:
        return "window_of_unknown_distribution"
    if rate_s and not _SHAPES[0] <= shape <= _SHAPES[1]:
        return "window_shape_out_of_range"
    return Window(start_s, rate_s, cells[3], shape)


def _length_windows(content: bytes) -> LengthWindows | None:
    try:
        windows = msgspec.json.decode(content.removeprefix(b"\xef\xbb\xbf"), type=dict[str, msgspec.Raw])
        starts = {float(start): window for start, window in windows.items()}
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    return LengthWindows(starts) if starts and all(map(math.isfinite, starts)) else None


def _lengths(window: msgspec.Raw) -> Lengths | str:
    """Both distributions, or the reason why they cannot be used."""
    try:
        literals = msgspec.json.decode(window, type=_Literals)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return "lengths_not_readable"
    prompt, output = (_pdf(literal) for literal in (literals.input_tokens, literals.output_tokens))
    if isinstance(prompt, str):
        return prompt
    return output if isinstance(output, str) else Lengths(prompt, output)


def _pdf(literal: str) -> Pdf | str:
    if len(literal) > LONGEST_LITERAL:
        return "lengths_literal_too_long"
    if not _PDF.fullmatch(literal):
        return "lengths_not_readable"
    inner = literal.strip()[1:-1]
    if not inner.strip():
        return "lengths_empty"
    try:  # the grammar ensures that numbers come in pairs
        pairs = np.array(msgspec.json.decode(f"[{inner.replace(':', ',')}]", type=list[float])).reshape(-1, 2)
    except (msgspec.MsgspecError, ValueError):
        return "lengths_not_readable"
    tokens, share = pairs.T
    if (pairs < 0).any():
        return "lengths_negative"
    cumulated = np.cumsum(share)
    if not 0 < cumulated[-1] < math.inf:
        return "lengths_empty"
    return Pdf(tokens.copy(), cumulated / cumulated[-1])
