"""Closed loops: requests that wait for each other, and so move together.

A request that does not wait, and for which no other request waits, is a loop of its own.
"""

from dataclasses import replace

import numpy as np

from ...errors import InvalidScenario
from .. import streams
from ..quantities import LONGEST_SPAN_S, NS
from ..streams import stream
from .trace import Column, Trace
from .turns import Turns

_LONGEST_PAUSE_S = 1e6


def starts_ns(trace: Trace) -> Column:
    """The arrival of the first request of each loop, in order, (loops,)."""
    return trace.arrival_ns[~trace.turns.waits] if trace.turns else trace.arrival_ns


def begun_at(trace: Trace, start_ns: Column, order: Column | None = None) -> Trace:
    """The same loops with other start times, and requests in order of arrival.

    Args:
        start_ns: (loops,), 0 or more.
        order: (loops,), the loop that begins at each of these times; default: in their present order. If loops begin at
            the same time, their requests stand in this order.
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


def shuffle_loops(trace: Trace, start_ns: Column, rng: np.random.Generator) -> Trace:
    """The same loops, each with one of these start times, drawn at random.

    Requests that continue a conversation without waiting become independent.
    """
    alone = replace(trace, turns=trace.turns.loops_alone() if trace.is_closed_loop and trace.turns else None)
    return begun_at(alone, start_ns, rng.permutation(len(start_ns)))


def by_users(trace: Trace, users: int, pause_s: float, seed: int) -> Trace:
    """The same loops, begun by a fixed number of users: each begins a loop when its previous one has ended.

    The loops of each user are drawn at random, and do not depend on what a policy does. All users have the same number
    of loops, or one more.

    Args:
        pause_s: the time from the end of one loop to the beginning of the next.

    Raises:
        InvalidScenario: fewer than one user, an invalid pause, or pauses that sum to more than a run can last.
    """
    check_users(users, pause_s)
    trace = shuffle_loops(trace, np.zeros_like(starts_ns(trace)), stream(seed, streams.USERS))
    turns = trace.turns or Turns.none(len(trace))
    begins = np.flatnonzero(~turns.waits)  # of each loop; loops stand one after another
    lasts = np.append(begins[1:], len(trace)) - 1
    after_id, think_ns = turns.after_id.copy(), turns.think_ns.copy()
    after_id[begins[users:]], think_ns[begins[users:]] = lasts[:-users], round(pause_s * NS)
    chained = Turns(turns.session, after_id, think_ns)
    if chained.pauses_s > LONGEST_SPAN_S:
        raise InvalidScenario(
            f"{len(trace):,} requests of {users} users with pauses of {pause_s:g} s take {chained.pauses_s:.3g} s, "
            f"expected at most {LONGEST_SPAN_S:g} s"
        )
    return replace(trace, turns=chained)


def check_users(users: int, pause_s: float) -> None:
    """Raises InvalidScenario: fewer than one user, or an invalid pause."""
    if users < 1 or not 0 <= pause_s <= _LONGEST_PAUSE_S:
        raise InvalidScenario(
            f"{users} users with pauses of {pause_s:g} s: expected at least 1 user, and pauses of 0 to "
            f"{_LONGEST_PAUSE_S:g} s"
        )


def _loop_of(trace: Trace) -> Column:
    """The number of each request's loop, counted from 0 in their present order."""
    if trace.turns is None:
        return np.arange(len(trace))
    return (np.cumsum(~trace.turns.waits) - 1)[trace.turns.first_of_loop()]
