"""The data of a report inside its page: links that save a file, with no server and no JavaScript."""

import base64
import csv
import io
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import msgspec
import numpy as np

from ..csrc import STATUSES
from ..records import Run, RunInfo
from .verdict import labels_of

Array = np.ndarray[Any, Any]
Row = Sequence[str | int | float | None]

LIMIT_BYTES = 640 << 10
"""All files together, as they stand in the page. Requests of which there are too many for it are left out."""
SHARED = ("id", "arrival_ns", "prompt_tokens", "output_tokens", "max_new_tokens")
"""What runs of the same requests have in common."""

_ROWS = 1 << 12  # written at a time
_CONTROLS = re.compile(r"[\x00-\x09\x0b-\x1f\x7f]")  # but for the newline
_GZIP = 16 + zlib.MAX_WBITS


@dataclass(frozen=True, slots=True)
class Download:
    """A file in the page.

    Attributes:
        name: what it is saved as.
        holds: what is in it, in a sentence.
        href: the file itself, as a data: URL.
    """

    name: str
    holds: str
    href: str

    @property
    def size(self) -> str:
        """Of the file, not of the link."""
        return f"{max(1, round(len(self.href) * 3 / 4 / 1024)):,} KiB"


@dataclass(frozen=True, slots=True)
class Downloads:
    """The files, and whether the requests had to be left out."""

    files: list[Download]
    requests_left_out: bool


@dataclass(frozen=True, slots=True)
class Sheet:
    """A small table to be saved as CSV: numbers as they are, times in seconds, sizes in bytes, None where unknown."""

    name: str
    holds: str
    heads: Sequence[str]
    rows: Sequence[Row]


def downloads(
    runs: Sequence[Run], replicates: Sequence[Sequence[RunInfo]] = (), sheets: Sequence[Sheet] = ()
) -> Downloads:
    """The requests of these runs, their summaries, and the sheets. The same input gives the same bytes.

    Args:
        replicates: of each run the runs of all seeds, itself among them.
    """
    infos = [run.info for run in runs]
    labels = labels_of(infos)
    groups = replicates if len(replicates) == len(runs) else [[info] for info in infos]
    files = [_summary(labels, infos), *map(_as_csv, (comparison_sheet(labels, groups), *sheets))]
    requests = _requests(labels, runs, LIMIT_BYTES - sum(len(file.href) for file in files))
    return Downloads([*(requests or []), *files], requests_left_out=requests is None)


def comparison_sheet(labels: Sequence[str], groups: Sequence[Sequence[RunInfo]]) -> Sheet:
    """Every figure of every run, one row a run and seed."""
    rows: list[dict[str, Any]] = [
        {"run": label, "kind": info.kind, "seed": info.seed, "complete": info.complete} | dict(_flat(info.summary))
        for label, group in zip(labels, groups, strict=True)
        for info in group
    ]
    heads = list(dict.fromkeys(name for row in rows for name in row))
    holds = "every figure of every run, one row a run and seed; times in seconds, sizes in bytes"
    return Sheet("comparison.csv", holds, heads, [[row.get(name) for name in heads] for row in rows])


def _flat(summary: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in summary.items():
        if isinstance(value, dict):
            yield from ((f"{name}.{part}", each) for part, each in value.items())
        else:
            yield name, value


def _summary(labels: Sequence[str], infos: Sequence[RunInfo]) -> Download:
    runs = []
    for label, info in zip(labels, infos, strict=True):
        facts = msgspec.to_builtins(info)
        runs.append({"run": label} | facts.pop("summary") | facts)
    content = msgspec.json.format(msgspec.json.encode(runs, order="sorted"), indent=1)
    holds = "what --json prints of each run, with its scenario, versions and command"
    return Download("summary.json", holds, _data_url("application/json", content))


def _requests(labels: Sequence[str], runs: Sequence[Run], room_bytes: int) -> list[Download] | None:
    """A file for each set of runs that share their requests; None if they take more room than there is."""
    groups: dict[bytes, list[int]] = {}
    for position, run in enumerate(runs):
        groups.setdefault(_identity(run), []).append(position)
    files: list[Download] = []
    for number, group in enumerate(groups.values(), 1):
        named = [labels[position] for position in group]
        content = _compressed(_request_rows(named, [runs[position] for position in group]), room_bytes * 3 // 4)
        if content is None:
            return None
        alone = len(groups) == 1
        name = "requests.csv.gz" if alone else f"requests-{number}.csv.gz"
        holds = "one row a request" if alone else f"one row a request, under {', '.join(named)}"
        files.append(Download(name, holds, _data_url("application/gzip", content)))
        room_bytes -= len(files[-1].href)
    return files


def _identity(run: Run) -> bytes:
    """The same for runs of the same requests at the same times."""
    digest = sha256()
    for name in SHARED:
        digest.update(run.requests[name].tobytes())
    return digest.digest()


def _request_rows(labels: Sequence[str], runs: Sequence[Run]) -> Iterator[Row]:
    """Heads first."""
    count = len(runs[0].requests["id"])
    yield [_plain(head) for head in _request_columns(labels, runs, slice(0))]
    for start in range(0, count, _ROWS):
        yield from zip(*_request_columns(labels, runs, slice(start, start + _ROWS)).values(), strict=True)


def _request_columns(labels: Sequence[str], runs: Sequence[Run], rows: slice) -> dict[str, list[Any]]:
    """Of these rows. What hardly ever varies stands together, and so does what always does: that compresses best."""
    shared = {name: column[rows] for name, column in runs[0].requests.items()}
    steady: dict[str, list[Any]] = {name: shared[name].tolist() for name in ("id", "max_new_tokens")}
    varied: dict[str, list[Any]] = {"arrival_us": _microseconds(shared["arrival_ns"])}
    varied |= {name: shared[name].tolist() for name in ("prompt_tokens", "output_tokens")}
    for label, run in zip(labels, runs, strict=True):
        r = {name: column[rows] for name, column in run.requests.items()}
        steady[f"{label}:status"] = [STATUSES[code] for code in r["status"].tolist()]
        if any(run.requests["reason"]):
            steady[f"{label}:reason"] = [_plain(reason) for reason in r["reason"]]
        for name in ("preemptions", "recomputed_tokens"):
            steady[f"{label}:{name}"] = r[name].tolist()
        for name in ("admitted", "first_token", "finish"):
            varied[f"{label}:{name}_us"] = _microseconds(r[f"{name}_ns"])
    return steady | varied


def _microseconds(time_ns: Array) -> list[int | None]:
    """Whole ones; None where nothing happened."""
    return [None if time < 0 else time for time in (time_ns // 1000).tolist()]


def _as_csv(sheet: Sheet) -> Download:
    rows = [[_plain(cell) if isinstance(cell, str) else cell for cell in row] for row in (sheet.heads, *sheet.rows)]
    return Download(sheet.name, sheet.holds, _data_url("text/csv", "".join(_csv_text(rows)).encode()))


def _plain(text: str) -> str:
    """What no reader of CSV takes for more than text: spreadsheets run a cell that starts like a formula."""
    clean = _CONTROLS.sub(" ", text)
    return f"'{clean}" if clean.startswith(("=", "+", "-", "@")) else clean


def _csv_text(rows: Iterable[Row]) -> Iterator[str]:
    """As CSV, some rows at a time."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    for number, row in enumerate(rows, 1):
        writer.writerow(row)
        if number % _ROWS == 0:
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()


def _compressed(rows: Iterable[Row], most_bytes: int) -> bytes | None:
    """As gzip, without a date; None as soon as it takes more than `most_bytes`."""
    # Among digits most short matches are chance, and cost more than they save: filtered, they are not looked for.
    packer = zlib.compressobj(9, zlib.DEFLATED, _GZIP, 9, zlib.Z_FILTERED)
    parts = []
    size = 0
    for text in _csv_text(rows):
        parts.append(packer.compress(text.encode()))
        size += len(parts[-1])
        if size > most_bytes:
            return None
    content = b"".join([*parts, packer.flush()])
    return content if len(content) <= most_bytes else None


def _data_url(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
