"""When each request was in which phase: queued, prefilling, decoding, evicted."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ...csrc import EVENTS, STATUSES
from ...records import Run

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Stays:
    """When each request was in which phase, in ns, and by row of the request; a time that never came is the end.

    Attributes:
        away: the rows of requests that were evicted, once for each time, with from and to.
    """

    arrived: Array
    begun: Array
    first_token: Array
    end: Array
    away: Array
    away_from: Array
    away_to: Array


def stays(run: Run) -> Stays:
    """The stays of all requests. One that was turned away ends when it comes, one that never came comes at the end."""
    end = _ends_ns(run)
    arrived = arrivals_ns(run, end)
    first = _or(run.requests["first_token_ns"], end)
    return Stays(arrived, np.minimum(_begun_ns(run, end), first), first, end, *evictions(run, end))


def arrivals_ns(run: Run, end_ns: Array) -> Array:
    """When each request came. Those of a closed loop that an interruption kept from coming: when they ended."""
    r = run.requests
    return np.where(r["ticket"] < 0, end_ns, r["arrival_ns"]) if "ticket" in r else np.asarray(r["arrival_ns"])


def running(each: Stays, from_s: float, to_s: float) -> Array:
    """The rows of requests that were beyond the queue at some time of a window, in order of arrival."""
    rows = np.flatnonzero((each.begun < to_s * 1e9) & (each.end > from_s * 1e9) & (each.end > each.begun))
    return rows[np.argsort(each.arrived[rows], kind="stable")]


def _or(times_ns: Array, end_ns: Array) -> Array:
    """The times, or the end of a request for what never came."""
    return np.where(times_ns < 0, end_ns, np.minimum(times_ns, end_ns))


def _ends_ns(run: Run) -> Array:
    """When each request left: finished, failed, or by the end of the run; one that was turned away when it came."""
    r, steps, events = run.requests, run.steps, run.events
    over = int((steps["start_ns"] + steps["duration_ns"]).max(initial=0))
    ends = np.where(r["finish_ns"] >= 0, r["finish_ns"], over)
    failures = events["event"] == EVENTS.index("fail")
    ends[events["request"][failures]] = events["t_ns"][failures]
    ends[r["status"] == STATUSES.index("rejected")] = 0
    return np.asarray(np.maximum(ends, r["arrival_ns"]))


def _begun_ns(run: Run, end_ns: Array) -> Array:
    """When each request was admitted. Who was put back since steps ran out of memory before the first token, which is
    no eviction: when the step of its first token began.
    """
    r, steps, events = run.requests, run.steps, run.events
    admitted = _or(r["admitted_ns"], end_ns)
    ooms = np.sort(events["t_ns"][events["event"] == EVENTS.index("oom")])
    put_back = np.searchsorted(ooms, r["first_token_ns"]) > np.searchsorted(ooms, admitted)
    rows = np.searchsorted(steps["start_ns"], r["first_token_ns"][put_back]) - 1
    admitted[put_back] = np.maximum(admitted[put_back], steps["start_ns"][rows])
    return admitted


def evictions(run: Run, ends_ns: Array) -> tuple[Array, Array, Array]:
    """Intervals in which requests had lost their place: row of the request, from and to in ns. One lasts until the
    request makes a token again. One that was evicted by a step planned ahead may make a token yet, of the step before.
    """
    events, first_ns = run.events, run.requests["first_token_ns"]
    chosen = np.isin(events["event"], [EVENTS.index(name) for name in ("preempt", "swap-out", "resume")])
    since: dict[int, int] = {}
    resumed: dict[int, int] = {}
    found: list[tuple[int, int, int]] = []
    columns = (events[name][chosen].tolist() for name in ("request", "t_ns", "event"))
    for row, t_ns, event in zip(*columns, strict=True):
        if event == EVENTS.index("resume"):
            found.append((row, since.pop(row, resumed.get(row, int(first_ns[row]))), t_ns))
            resumed[row] = t_ns
        elif row in since and since[row] < first_ns[row] <= t_ns:
            found.append((row, since[row], int(first_ns[row])))
            since[row] = t_ns
        else:
            since.setdefault(row, t_ns)
    for row, began in since.items():
        found.append((row, began, int(first_ns[row] if first_ns[row] > began else ends_ns[row])))
    rows, from_ns, to_ns = np.array(found, np.int64).reshape(-1, 3).T
    return rows, from_ns, np.maximum(np.minimum(to_ns, ends_ns[rows]), from_ns)
