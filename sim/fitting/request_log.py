"""The request log of another engine, compared with the simulation of the same requests."""

from dataclasses import replace

import msgspec
import numpy as np

from ...csrc import STATUSES
from ...records import Run
from ...records.metrics import summarize
from ...workloads import RequestLog

_QUICKEST = 0.1


def align_clocks(log: RequestLog, simulated: Run) -> RequestLog:
    """The log with its token times on the clock of its arrival times.

    If the clocks differ, the log does not tell by how much. The shift is chosen so that the 10 % quantile of the times
    to the first token equals the simulated quantile: the simulation is most reliable for the requests that wait least.
    """
    if log.same_clock:
        return log
    r = simulated.requests
    done = r["first_token_ns"] >= 0
    waited = np.quantile((r["first_token_ns"] - r["arrival_ns"])[done], _QUICKEST) if done.any() else 0
    shift = int(waited - np.quantile(log.first_ns - log.trace.arrival_ns, _QUICKEST))
    return replace(log, first_ns=log.first_ns + shift, last_ns=log.last_ns + shift)


def run_from_log(log: RequestLog, simulated: Run) -> Run:
    """The log as the record of a run, without steps, memory and evictions, which a log does not have."""
    count = len(log.trace)
    unknown, none = np.full(count, -1, dtype=np.int64), np.zeros(count, dtype=np.int64)
    requests = simulated.requests | {
        "status": np.full(count, STATUSES.index("finished"), dtype=simulated.requests["status"].dtype),
        "admitted_ns": unknown,
        "first_token_ns": log.first_ns,
        "finish_ns": log.last_ns,
        "preemptions": none,
        "recomputed_tokens": none,
        "reason": np.array([""] * count, dtype=object),
    }
    scenario = msgspec.structs.replace(simulated.info.scenario, step_time=f"the log {log.trace.source.path}")
    info = msgspec.structs.replace(simulated.info, kind="log", scenario=scenario, plan_hash="", command="", summary={})
    steps = {name: column[:0] for name, column in simulated.steps.items()}
    events = {name: column[:0] for name, column in simulated.events.items()}
    run = Run(info, requests, steps, events)
    info.summary = msgspec.to_builtins(summarize(run))
    return run
