"""What a prefix cache would save, against one that is played through a request at a time."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.prefixes import CONTENTS, trace_of

from warpgroup.workloads import Trace, summarize_trace
from warpgroup.workloads.trace.prefix_sharing import NEVER_NS, block_ages_ns, hits_of, prefix_sharing, share_of
from warpgroup.workloads.trace.turns import Turns

BLOCK = 10


def played(trace: Trace, contents: list[list[int]], kept_ns: int) -> float:
    """A cache of whole beginnings with the time at which each was last used."""
    last_used: dict[tuple[int, ...], int] = {}
    hit = 0
    for now, prompt, blocks in zip(trace.arrival_ns.tolist(), trace.prompt_tokens.tolist(), contents, strict=True):
        beginnings = [tuple(blocks[: end + 1]) for end in range(len(blocks))]
        found = 0
        for each in beginnings:
            if each not in last_used or now - last_used[each] > kept_ns:
                break
            found += 1
        hit += min(found * BLOCK, prompt)
        last_used |= dict.fromkeys(beginnings, now)
    return hit / int(trace.prompt_tokens.sum())


@given(
    contents=CONTENTS,
    data=st.data(),
    spare=st.integers(0, BLOCK - 1),
    kept_s=st.sampled_from([0, 1, 10, 100]),
)
def test_the_share_is_that_of_a_cache_that_is_played_through(contents, data, spare, kept_s):
    seconds = st.lists(st.integers(0, 40), min_size=len(contents), max_size=len(contents))
    arrival_ns = [0, *np.cumsum(data.draw(seconds)) * 10**9][: len(contents)]
    trace = trace_of(BLOCK, contents, arrival_ns, spare=spare)
    sharing = prefix_sharing(trace)
    if sharing is None:
        assert not any(contents)
        return
    assert sharing.hit == played(trace, contents, NEVER_NS)
    ages_ns = block_ages_ns(trace.prefix, trace.arrival_ns)
    assert share_of(trace, hits_of(trace, trace.prefix, ages_ns <= kept_s * 10**9)) == played(
        trace, contents, kept_s * 10**9
    )
    assert sharing.hit_within["10s"] == played(trace, contents, 10 * 10**9)


def test_blocks_are_counted_by_hand():
    """Four distinct: a, ab, ac, d; only a is used more than once."""
    sharing = summarize_trace(trace_of(BLOCK, [[0, 1], [0, 2], [], [3], [0]])).prefix
    assert (sharing.block_tokens, sharing.requests, sharing.blocks, sharing.distinct_blocks) == (BLOCK, 4, 6, 4)
    assert sharing.used_once == 3 / 4
    assert sharing.hit == pytest.approx(20 / 61)


def test_without_times_of_their_own_requests_have_no_ages():
    trace = trace_of(BLOCK, [[0], [0]], [0, 0])
    assert prefix_sharing(replace(trace, has_times=False)).hit_within == {}
    waiting = Turns(*(np.array(column) for column in ([0, 0], [-1, 0], [-1, 5])))
    looped = prefix_sharing(replace(trace, turns=waiting))
    assert (looped.hit, looped.hit_within) == (0.5, {})


def test_a_trace_without_blocks_shares_nothing_that_is_known():
    assert summarize_trace(Trace.of_rows([(0, 5, 5)], max_new_tokens=9)).prefix is None
