"""Runs as a trace file for ui.perfetto.dev and chrome://tracing, step by step.

Each run is a process. It has a thread of steps and one of events, counters of memory and of requests, and a slice for
each request that contains its phases. The format is Chrome's trace-event JSON; times are in microseconds.
"""

import gzip
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from ...csrc import EVENTS, STATUSES
from ...errors import InvalidRun, OutputRefused
from ...records import BLOCKED_BY, Run
from ..figures.request_timeline import arrival_times_ns
from ..judging.contender import labels_of
from ..numbers import GIB
from ..page.escaping import line

Array = np.ndarray[Any, Any]

_LEVEL = 3  # of compression; a higher level takes longer than writing the events
_ROWS = 1 << 14
"""Rows of a table that are Python objects at the same time."""
_ENDINGS = [EVENTS.index(name) for name in ("reject", "fail")]


def write_perfetto(runs: Sequence[Run], path: Path) -> None:
    """Write the trace of these runs atomically, compressed if the name ends in .gz. The same runs give the same bytes.

    Raises:
        InvalidRun: there is no run.
        OutputRefused: the file cannot be written.
    """
    if not runs:
        raise InvalidRun("there is no run to draw")
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as raw:
            file = gzip.GzipFile("", "wb", _LEVEL, raw, mtime=0) if path.suffix.lower() == ".gz" else raw
            with io.TextIOWrapper(file, encoding="utf-8", newline="\n") as text:
                text.write('{"displayTimeUnit":"ms","traceEvents":[\n')
                text.write(",\n".join(_heading(runs)))
                for position, run in enumerate(runs):
                    text.writelines(f",\n{event}" for event in _happened(run, _process(position)))
                text.write("\n]}\n")
        part.replace(path)
    except OSError as error:
        raise OutputRefused(f"cannot write {path}: {error.strerror}; choose another place") from None


def _process(position: int) -> int:
    """The id of a run's process and of its thread of steps. The next id is that of its thread of events."""
    return 2 * position + 1


def _heading(runs: Sequence[Run]) -> Iterator[str]:
    for position, label in enumerate(labels_of([run.info for run in runs])):
        process = _process(position)
        for thread, name, what in (
            (process, "process_name", {"name": line(label, 200)}),
            (process, "process_sort_index", {"sort_index": position}),
            (process, "thread_name", {"name": "steps"}),
            (process + 1, "thread_name", {"name": "events"}),
        ):
            event = {"ph": "M", "pid": process, "tid": thread, "name": name, "args": what}
            yield msgspec.json.encode(event).decode()


def _happened(run: Run, process: int) -> Iterator[str]:
    yield from _steps(run, process)
    yield from _events(run, process + 1, process)
    yield from _memory(run, process)
    yield from _counts(run, process)
    yield from _requests(run, process)


def _steps(run: Run, process: int) -> Iterator[str]:
    s = run.steps
    # Viewers truncate binary fractions, so a step that ends where the next one starts would overlap it.
    free_ns = np.append(s["start_ns"][1:] - s["start_ns"][:-1] - 1, np.iinfo(np.int64).max)
    duration_ns = np.minimum(s["duration_ns"], np.maximum(free_ns[: len(s["start_ns"])], 0))
    prefills, decodes = s["prefill_tokens"] > 0, s["decode_rows"] > 0
    kind = np.select([prefills & decodes, prefills, decodes], [0, 1, 2], 3)
    kinds = ("prefill and decode", "prefill", "decode", "nothing computed")
    head = f'{{"ph":"X","pid":{process},"tid":{process},"ts":'
    columns = [s[name] for name in ("steps", "prefill_tokens", "decode_rows", "context_tokens", "blocked_by")]
    for ts, duration, what, steps, prefill, decode, context, blocked in _rows(
        s["start_ns"] / 1e3, duration_ns / 1e3, kind, *columns
    ):
        yield (
            f'{head}{ts},"dur":{duration},"name":"{kinds[what]}","args":{{"steps":{steps},"prefill_tokens":{prefill},'
            f'"decode_rows":{decode},"context_tokens":{context},"blocked_by":"{BLOCKED_BY[blocked]}"}}}}'
        )


def _events(run: Run, thread: int, process: int) -> Iterator[str]:
    head = f'{{"ph":"i","s":"t","pid":{process},"tid":{thread},"ts":'
    e = run.events
    for ts, event, request, size in _rows(e["t_ns"] / 1e3, e["event"], e["request"], e["bytes"]):
        of = f'"request":{request},' if request >= 0 else ""
        yield f'{head}{ts},"name":"{EVENTS[event]}","args":{{{of}"bytes":{size}}}}}'


def _memory(run: Run, process: int) -> Iterator[str]:
    s, fixed = run.steps, run.info.scenario.memory.fixed_bytes
    for name, held, idle in (
        ("used", s["vram_used_bytes"], fixed),
        ("reserved", s["reserved_bytes"] + fixed, fixed),
        ("budget", s["vram_budget_bytes"], None),
    ):
        head = f'{{"ph":"C","pid":{process},"tid":{process},"name":"VRAM {name}","ts":'
        for ts, size in _rows(*_changes(run, held, idle)):
            yield f'{head}{ts},"args":{{"GiB":{size / GIB:.3f}}}}}'


def _counts(run: Run, process: int) -> Iterator[str]:
    for name in ("running", "waiting"):
        head = f'{{"ph":"C","pid":{process},"tid":{process},"name":"requests {name}","ts":'
        for ts, count in _rows(*_changes(run, run.steps[name], 0)):
            yield f'{head}{ts},"args":{{"count":{count}}}}}'


def _changes(run: Run, values: Array, idle: int | None) -> tuple[Array, Array]:
    """The times (in microseconds) at which a value of the steps changes, and its new values.

    `idle` is the value after a step that no other step follows at once.
    """
    start_ns = run.steps["start_ns"]
    end_ns = start_ns + run.steps["duration_ns"]
    last = np.append(start_ns[1:] > end_ns[:-1], True)[: len(values)] & (idle is not None)
    times_ns = np.stack([start_ns, end_ns], axis=1).ravel()
    both = np.stack([values, np.where(last, idle or 0, values)], axis=1).ravel()
    changed = np.append(True, both[1:] != both[:-1])[: len(both)]
    return times_ns[changed] / 1e3, both[changed]


def _requests(run: Run, process: int) -> Iterator[str]:
    """A slice for each request from its arrival to its end, with the slices of its phases inside."""
    r, times_us = run.requests, _phases_ns(run) / 1e3
    names = ("prompt_tokens", "output_tokens", "preemptions", "recomputed_tokens", "status")
    for request, arrival, admitted, first, end, prompt, output, preemptions, recomputed, status in _rows(
        r["id"], *times_us, *(r[name] for name in names)
    ):
        head = f'"cat":"request","id":"{process}.{request}","pid":{process},"tid":{process},"ts":'
        yield (
            f'{{"ph":"b",{head}{arrival},"name":"request","args":{{"request":{request},"prompt_tokens":{prompt},'
            f'"output_tokens":{output},"preemptions":{preemptions},"recomputed_tokens":{recomputed},'
            f'"status":"{STATUSES[status]}"}}}}'
        )
        for name, since, until in (("queued", arrival, admitted), ("prefill", admitted, first), ("decode", first, end)):
            if until > since:
                yield f'{{"ph":"b",{head}{since},"name":"{name}"}}'
                yield f'{{"ph":"e",{head}{until},"name":"{name}"}}'
        yield f'{{"ph":"e",{head}{end},"name":"request"}}'


def _phases_ns(run: Run) -> Array:
    """Rows: arrival, admission, first token and end of every request. What did not happen is placed at the end."""
    r, steps, events = run.requests, run.steps, run.events
    end_of_run = int((steps["start_ns"] + steps["duration_ns"]).max(initial=0))
    ended = np.isin(events["event"], _ENDINGS)
    end = np.full(len(r["id"]), end_of_run)
    end[events["request"][ended]] = events["t_ns"][ended]
    end = np.where(r["finish_ns"] >= 0, r["finish_ns"], end)
    first = np.where(r["first_token_ns"] >= 0, r["first_token_ns"], end)
    admitted = np.where(r["admitted_ns"] >= 0, r["admitted_ns"], first)
    # A step that was planned ahead may fail a request before the step before it has made its first token.
    return np.asarray(np.maximum.accumulate(np.stack([arrival_times_ns(run, end), admitted, first, end])))


def _rows(*columns: Array) -> Iterator[tuple[Any, ...]]:
    for start in range(0, len(columns[0]), _ROWS):
        yield from zip(*(column[start : start + _ROWS].tolist() for column in columns), strict=True)
