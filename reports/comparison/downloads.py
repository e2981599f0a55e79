"""The data of a report inside its page, as links that save a file without a server or JavaScript."""

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

from ...csrc import STATUSES
from ...records import Run, RunInfo
from ...records.sweep import Sweep
from ...workloads import TURN_COLUMNS
from ..judging.contender import labels_of

Array = np.ndarray[Any, Any]
Row = Sequence[str | int | float | None]

LIMIT_BYTES = 640 << 10
"""The size of all files together, as encoded in the page. If the requests do not fit, they are left out."""
SHARED = ("id", "prompt_tokens", "output_tokens", "max_new_tokens")
"""The columns that runs of the same requests have in common."""

_ROWS = 1 << 12  # rows that are encoded at a time
_CONTROLS = re.compile(r"[\x00-\x09\x0b-\x1f\x7f]")  # all but the newline
_GZIP = 16 + zlib.MAX_WBITS


@dataclass(frozen=True, slots=True)
class Download:
    """A file in the page.

    Attributes:
        name: the file name under which it is saved.
        holds: its content, in words.
        href: the file itself, as a data: URL.
    """

    name: str
    holds: str
    href: str

    @property
    def size(self) -> str:
        """The size of the file, which is smaller than the link."""
        return f"{max(1, round(len(self.href) * 3 / 4 / 1024)):,} KiB"


@dataclass(frozen=True, slots=True)
class Downloads:
    """The files, and whether the requests, or the points of a sweep, had to be left out."""

    files: list[Download]
    requests_left_out: bool
    points_left_out: bool = False


def downloads(
    runs: Sequence[Run], replicates: Sequence[Sequence[RunInfo]] = (), sweeps: Sequence[Sweep] = ()
) -> Downloads:
    """The requests and summaries of these runs, and the results of sweeps. The same input gives the same bytes.

    Args:
        replicates: for each run the records of all its seeds, including its own.
    """
    infos = [run.info for run in runs]
    labels = labels_of(infos)
    groups = replicates if len(replicates) == len(runs) else [[info] for info in infos]
    files = [_summary(labels, infos), _comparison(labels, groups)] if runs else []
    files += _capacities(sweeps)
    points = _points(sweeps, LIMIT_BYTES - _size(files))
    files += points or []
    requests = _requests(labels, runs, LIMIT_BYTES - _size(files))
    return Downloads([*(requests or []), *files], requests_left_out=requests is None, points_left_out=points is None)


def _size(files: Iterable[Download]) -> int:
    return sum(len(file.href) for file in files)


def _comparison(labels: Sequence[str], groups: Sequence[Sequence[RunInfo]]) -> Download:
    rows = [
        {"run": label, "kind": info.kind, "seed": info.seed, "complete": info.complete} | dict(_flat(info.summary))
        for label, group in zip(labels, groups, strict=True)
        for info in group
    ]
    holds = "all figures of all runs, one row per run and seed; times in seconds, sizes in bytes"
    return Download("comparison.csv", holds, _data_url("text/csv", "".join(_csv_text(_table(rows))).encode()))


def _table(rows: Sequence[dict[str, Any]]) -> Iterator[Row]:
    """The heads, then the rows. A cell is empty if its row has no such value."""
    heads = list(dict.fromkeys(name for row in rows for name in row))
    yield heads
    for row in rows:
        cells = (row.get(name) for name in heads)
        yield [_plain(cell) if isinstance(cell, str) else cell for cell in cells]


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
    holds = "the JSON summary of each run, with its scenario, versions and command"
    return Download("summary.json", holds, _data_url("application/json", content))


def _capacities(sweeps: Sequence[Sweep]) -> list[Download]:
    """A file for each sweep: its record without the measured points."""
    files = []
    for number, sweep in enumerate(sweeps, 1):
        facts = msgspec.to_builtins(sweep)
        for policy in facts["policies"]:
            del policy["points"]
        content = msgspec.json.format(msgspec.json.encode(facts, order="sorted"), indent=1)
        holds = f"the capacity of each policy{_of(sweep, sweeps)}, with the scenario, versions and command"
        name = _numbered("capacities", number, sweeps)
        files.append(Download(f"{name}.json", holds, _data_url("application/json", content)))
    return files


def _points(sweeps: Sequence[Sweep], room_bytes: int) -> list[Download] | None:
    """A file for each sweep with every figure at every rate; None if they are too large."""
    files: list[Download] = []
    for number, sweep in enumerate(sweeps, 1):
        content = _compressed(_table(_point_rows(sweep)), room_bytes * 3 // 4)
        if content is None:
            return None
        holds = f"one row per policy and measured rate{_of(sweep, sweeps)}; times in seconds, sizes in bytes"
        name = _numbered("points", number, sweeps)
        files.append(Download(f"{name}.csv.gz", holds, _data_url("application/gzip", content)))
        room_bytes -= len(files[-1].href)
    return files


def _point_rows(sweep: Sweep) -> list[dict[str, Any]]:
    return [
        {"run": policy.label, "rate": point.rate, "attainment": point.attainment}
        | {f"attainment.seed-{seed}": share for seed, share in zip(sweep.seeds, point.by_seed, strict=True)}
        | dict(_flat(msgspec.to_builtins(point.summary)))
        for policy in sweep.policies
        for point in policy.points
    ]


def _numbered(name: str, number: int, all_of_them: Sequence[Any]) -> str:
    return name if len(all_of_them) == 1 else f"{name}-{number}"


def _of(sweep: Sweep, sweeps: Sequence[Sweep]) -> str:
    return f" of {sweep.scenario.name}" if len(sweeps) > 1 else ""


def _requests(labels: Sequence[str], runs: Sequence[Run], room_bytes: int) -> list[Download] | None:
    """A file for each set of runs with the same requests; None if they are too large."""
    groups: dict[bytes, list[int]] = {}
    for position, run in enumerate(runs):
        groups.setdefault(_identity(run), []).append(position)
    files: list[Download] = []
    for number, group in enumerate(groups.values(), 1):
        named = [labels[position] for position in group]
        content = _compressed(_request_rows(named, [runs[position] for position in group]), room_bytes * 3 // 4)
        if content is None:
            return None
        holds = "one row per request" if len(groups) == 1 else f"one row per request, under {', '.join(named)}"
        name = f"{_numbered('requests', number, list(groups))}.csv.gz"
        files.append(Download(name, holds, _data_url("application/gzip", content)))
        room_bytes -= len(files[-1].href)
    return files


def _identity(run: Run) -> bytes:
    """Equal for runs of the same requests and arrival times. In a closed loop the times differ and do not count."""
    digest = sha256()
    for name in (*SHARED, *TURN_COLUMNS) if _is_loop(run) else (*SHARED, "arrival_ns"):
        digest.update(run.requests[name].tobytes())
    return digest.digest()


def _is_loop(run: Run) -> bool:
    return all(name in run.requests for name in TURN_COLUMNS)


def _request_rows(labels: Sequence[str], runs: Sequence[Run]) -> Iterator[Row]:
    """The heads, then the rows."""
    count = len(runs[0].requests["id"])
    yield [_plain(head) for head in _request_columns(labels, runs, slice(0))]
    for start in range(0, count, _ROWS):
        yield from zip(*_request_columns(labels, runs, slice(start, start + _ROWS)).values(), strict=True)


def _request_columns(labels: Sequence[str], runs: Sequence[Run], rows: slice) -> dict[str, list[Any]]:
    """The columns of these rows. Columns that rarely vary stand together, because that compresses best."""
    shared = {name: column[rows] for name, column in runs[0].requests.items()}
    steady: dict[str, list[Any]] = {name: shared[name].tolist() for name in ("id", "max_new_tokens")}
    loop = _is_loop(runs[0])
    varied: dict[str, list[Any]] = {} if loop else {"arrival_us": _microseconds(shared["arrival_ns"])}
    varied |= {name: shared[name].tolist() for name in ("prompt_tokens", "output_tokens")}
    if loop:
        varied |= {name: shared[name].tolist() for name in ("session", "after_id")}
        varied["think_us"] = _microseconds(shared["think_ns"])
    for label, run in zip(labels, runs, strict=True):
        r = {name: column[rows] for name, column in run.requests.items()}
        steady[f"{label}:status"] = [STATUSES[code] for code in r["status"].tolist()]
        if any(run.requests["reason"]):
            steady[f"{label}:reason"] = [_plain(reason) for reason in r["reason"]]
        for name in ("preemptions", "recomputed_tokens"):
            steady[f"{label}:{name}"] = r[name].tolist()
        for name in (*(("arrival",) if loop else ()), "admitted", "first_token", "finish"):
            varied[f"{label}:{name}_us"] = _microseconds(r[f"{name}_ns"])
    return steady | varied


def _microseconds(time_ns: Array) -> list[int | None]:
    """Whole microseconds; None if the event did not happen."""
    return [None if time < 0 else time for time in (time_ns // 1000).tolist()]


def _plain(text: str) -> str:
    """Text that a spreadsheet shows as text: it would run a cell that starts like a formula."""
    clean = _CONTROLS.sub(" ", text)
    return f"'{clean}" if clean.startswith(("=", "+", "-", "@")) else clean


def _csv_text(rows: Iterable[Row]) -> Iterator[str]:
    """The rows as CSV, in parts of several rows."""
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
    """The rows as CSV in gzip format without a date; None if this is larger than `most_bytes`."""
    # Most short matches among digits are chance and cost more than they save: this strategy does not look for them.
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
