"""Traces of conversations, for hypothesis: some requests wait for others, some only follow them, some do neither. And
what must hold of a run of one.
"""

from dataclasses import replace

import numpy as np
from hypothesis import strategies as st

from warpgroup.csrc import EVENTS
from warpgroup.records import Run
from warpgroup.workloads import Trace
from warpgroup.workloads.trace.turns import Turns


@st.composite
def conversations(draw: st.DrawFn, most: int = 20, longest: int = 50, last_ns: int = 10**10) -> Trace:
    """A trace with turns, in order, of outputs and prompts up to `longest` tokens."""
    count = draw(st.integers(1, most))
    rows = st.tuples(st.integers(0, last_ns), st.integers(1, longest), st.integers(1, longest))
    drawn = sorted(draw(st.lists(rows, min_size=count, max_size=count)))
    before = [draw(st.integers(-1, i - 1)) for i in range(count)]
    think_ns = [draw(st.sampled_from([-1, 0, 1, 10**9])) if before[i] >= 0 else -1 for i in range(count)]
    arrival_ns = [row[0] for row in drawn]
    for i in range(count):
        if think_ns[i] >= 0:
            arrival_ns[i] = arrival_ns[before[i]]
    session = [i if before[i] < 0 else 0 for i in range(count)]
    for i in range(count):
        session[i] = session[before[i]] if before[i] >= 0 else session[i]
    turns = Turns(*(np.array(column, dtype=np.int64) for column in (session, before, think_ns)))
    order = np.argsort(arrival_ns, kind="stable")
    trace = Trace.of_rows([(0, *row[1:]) for row in drawn], max_new_tokens=longest)
    trace = replace(trace, arrival_ns=np.array(arrival_ns, dtype=np.int64), turns=turns)
    return trace.at(order)


def ends_ns(run: Run) -> np.ndarray:
    """When each request ended, whichever way."""
    ends = run.requests["finish_ns"].copy()
    for kind in ("reject", "fail"):
        told = run.events["event"] == EVENTS.index(kind)
        ends[run.events["request"][told]] = run.events["t_ns"][told]
    return ends


def check_arrivals(run: Run, trace: Trace) -> None:
    """Who waits came so long after the end of the request before, and the others at their own times."""
    arrival, turns, ends = run.requests["arrival_ns"], trace.turns, ends_ns(run)
    waits = turns.waits
    assert arrival[~waits].tolist() == trace.arrival_ns[~waits].tolist()
    assert arrival[waits].tolist() == (ends[turns.after_id] + turns.think_ns)[waits].tolist()
    assert sorted(run.requests["ticket"].tolist()) == list(range(len(trace)))
