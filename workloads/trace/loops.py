"""Closed loops: requests that wait for each other, and so come and go as one. A request that waits for none, and for
which none waits, is a loop of its own.
"""

from dataclasses import replace

import numpy as np

from ...errors import InvalidScenario
from .. import streams
from ..quantities import NS
from ..streams import stream
from .trace import Column, Trace
from .turns import LONGEST_SPAN_S, Turns

_LONGEST_PAUSE_S = 1e6


def starts_ns(trace: Trace) -> Column:
    """When each loop begins, in order."""
    return trace.arrival_ns[~trace.turns.waits] if trace.turns else trace.arrival_ns


def begun_at(trace: Trace, start_ns: Column, order: Column | None = None) -> Trace:
    """The same loops beginning at other times, with requests in order of arrival.

    Args:
        start_ns: (loops,), from 0 on.
        order: (loops,), which loop begins at each of these times; default: as they stand. Of loops that begin together
            the requests stand in this order.
    """
    if trace.turns is None and order is None and (np.diff(start_ns) >= 0).all():
        return replace(trace, arrival_ns=start_ns)
    loop = _loop_of(trace)
    turn = np.arange(len(start_ns))
    if order is not None:
        turn[order] = np.arange(len(order))
    arrival_ns = start_ns[turn[loop]]
    positions = np.lexsort((turn[loop], arrival_ns))
    return replace(trace.at(positions), arrival_ns=arrival_ns[positions])


def dealt(trace: Trace, start_ns: Column, rng: np.random.Generator) -> Trace:
    """The same with a loop drawn for each of these times. Who goes on with a conversation and does not wait is lost."""
    alone = replace(trace, turns=trace.turns.loops_alone() if trace.is_closed_loop and trace.turns else None)
    return begun_at(alone, start_ns, rng.permutation(len(start_ns)))


def by_users(trace: Trace, users: int, pause_s: float, seed: int) -> Trace:
    """The same loops, begun by so many users: each begins another when the last request of the one before has ended.

    Whose loops are whose is drawn, and does not hang on what a policy does: each user has as many, give or take one.

    Args:
        pause_s: from that end to the next beginning.

    Raises:
        InvalidScenario: no user, a pause that is none, or pauses that together are longer than a run can last.
    """
    check_users(users, pause_s)
    trace = dealt(trace, np.zeros_like(starts_ns(trace)), stream(seed, streams.USERS))
    turns = trace.turns or Turns.none(len(trace))
    begins = np.flatnonzero(~turns.waits)  # of each loop; they stand one after another
    lasts = np.append(begins[1:], len(trace)) - 1
    after_id, think_ns = turns.after_id.copy(), turns.think_ns.copy()
    after_id[begins[users:]], think_ns[begins[users:]] = lasts[:-users], round(pause_s * NS)
    chained = Turns(turns.session, after_id, think_ns)
    if chained.pauses_s > LONGEST_SPAN_S:
        raise InvalidScenario(f"{len(trace):,} requests of {users} users with pauses of {pause_s:g} s take too long")
    return replace(trace, turns=chained)


def check_users(users: int, pause_s: float) -> None:
    """Raises InvalidScenario: no user, or a pause that is none."""
    if users < 1 or not 0 <= pause_s <= _LONGEST_PAUSE_S:
        raise InvalidScenario(
            f"{users} users with pauses of {pause_s:g} s: expected at least 1, and 0 to {_LONGEST_PAUSE_S:g} s"
        )


def _loop_of(trace: Trace) -> Column:
    """The number of each request's loop, counted in the order in which they stand."""
    if trace.turns is None:
        return np.arange(len(trace))
    return (np.cumsum(~trace.turns.waits) - 1)[trace.turns.first_of_loop()]
