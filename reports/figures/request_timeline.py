"""When each request was in which phase: queued, prefilling, decoding, evicted."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ...csrc import EVENTS, STATUSES
from ...records import Run

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class RequestTimeline:
    """The phases of all requests of a run. Times are in ns; a phase that was never reached begins at the end.

    Attributes:
        arrival_ns: when each request arrived, shape (requests,).
        admitted_ns: when it was admitted.
        first_token_ns: when it had its first token.
        end_ns: when it finished, failed or was rejected, or when the run ended.
        evicted: the row of the evicted request, one entry for each eviction, shape (evictions,).
        evicted_from_ns: when it was evicted.
        evicted_to_ns: when it made a token again.
    """

    arrival_ns: Array
    admitted_ns: Array
    first_token_ns: Array
    end_ns: Array
    evicted: Array
    evicted_from_ns: Array
    evicted_to_ns: Array


def request_timeline(run: Run) -> RequestTimeline:
    """The timeline of all requests.

    A rejected request ends when it arrives. A request that never arrived, because the run was interrupted, arrives
    when the run ends.
    """
    end_ns = _end_times_ns(run)
    first_token_ns = _or_end(run.requests["first_token_ns"], end_ns)
    admitted_ns = np.minimum(_admission_times_ns(run, end_ns), first_token_ns)
    return RequestTimeline(
        arrival_times_ns(run, end_ns), admitted_ns, first_token_ns, end_ns, *eviction_intervals(run, end_ns)
    )


def arrival_times_ns(run: Run, end_ns: Array) -> Array:
    """When each request arrived. In a closed loop an interruption keeps requests from arriving: theirs is the end."""
    r = run.requests
    return np.where(r["ticket"] < 0, end_ns, r["arrival_ns"]) if "ticket" in r else np.asarray(r["arrival_ns"])


def running_rows(timeline: RequestTimeline, from_s: float, to_s: float) -> Array:
    """The rows of the requests that ran at some time of a window, in order of arrival."""
    admitted_ns, end_ns = timeline.admitted_ns, timeline.end_ns
    rows = np.flatnonzero((admitted_ns < to_s * 1e9) & (end_ns > from_s * 1e9) & (end_ns > admitted_ns))
    return rows[np.argsort(timeline.arrival_ns[rows], kind="stable")]


def _or_end(times_ns: Array, end_ns: Array) -> Array:
    """The times, none after the end of the request; the end where the time is missing."""
    return np.where(times_ns < 0, end_ns, np.minimum(times_ns, end_ns))


def _end_times_ns(run: Run) -> Array:
    r, steps, events = run.requests, run.steps, run.events
    end_of_run = int((steps["start_ns"] + steps["duration_ns"]).max(initial=0))
    ends = np.where(r["finish_ns"] >= 0, r["finish_ns"], end_of_run)
    failures = events["event"] == EVENTS.index("fail")
    ends[events["request"][failures]] = events["t_ns"][failures]
    ends[r["status"] == STATUSES.index("rejected")] = 0
    return np.asarray(np.maximum(ends, r["arrival_ns"]))


def _admission_times_ns(run: Run, end_ns: Array) -> Array:
    """When each request was admitted.

    A request that goes back to the queue before its first token, because a step ran out of memory, was not evicted.
    Its admission is the start of the step that made its first token.
    """
    r, steps, events = run.requests, run.steps, run.events
    admitted = _or_end(r["admitted_ns"], end_ns)
    ooms = np.sort(events["t_ns"][events["event"] == EVENTS.index("oom")])
    put_back = np.searchsorted(ooms, r["first_token_ns"]) > np.searchsorted(ooms, admitted)
    rows = np.searchsorted(steps["start_ns"], r["first_token_ns"][put_back]) - 1
    admitted[put_back] = np.maximum(admitted[put_back], steps["start_ns"][rows])
    return admitted


def eviction_intervals(run: Run, end_ns: Array) -> tuple[Array, Array, Array]:
    """The intervals in which evicted requests did not run: row of the request, from and to in ns.

    An interval lasts until the request makes a token again. A step that was planned ahead may evict a request that
    still gets a token from the step before.
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
        found.append((row, began, int(first_ns[row] if first_ns[row] > began else end_ns[row])))
    rows, from_ns, to_ns = np.array(found, np.int64).reshape(-1, 3).T
    return rows, from_ns, np.maximum(np.minimum(to_ns, end_ns[rows]), from_ns)
