"""How many prompt tokens a prefix cache could save, from the blocks that prompts begin with."""

import msgspec
import numpy as np

from ..quantities import NS
from .prefix_blocks import PrefixBlocks
from .trace import Column, Trace
from .turns import Flags

NEVER_NS = 2**63 - 1

_AGES_S = (10, 30, 60, 300)


class PrefixSharing(msgspec.Struct, frozen=True):
    """The share of prompt tokens that an earlier prompt also began with, and the counts behind it.

    Attributes:
        block_tokens: tokens in a block.
        requests: those whose blocks are known; the others share nothing.
        blocks: of all prompts.
        distinct_blocks: the number of different blocks.
        used_once: the share of distinct blocks that only one request has.
        hit: the share of prompt tokens that an unlimited cache would save.
        hit_within: the same if a block is only kept for this long after its last use, by duration; empty where requests
            have no times of their own, since the time between two uses is then unknown.
    """

    block_tokens: int
    requests: int
    blocks: int
    distinct_blocks: int
    used_once: float
    hit: float
    hit_within: dict[str, float]


def prefix_sharing(trace: Trace) -> PrefixSharing | None:
    """What a cache would save if requests run in order of arrival; None where no blocks are known."""
    prefix = trace.prefix
    if prefix is None or not len(prefix.ids):
        return None
    uses = np.unique(prefix.ids, return_counts=True)[1]
    ages_ns = block_ages_ns(prefix, trace.arrival_ns)
    ages_s = _AGES_S if has_ages(trace) else ()
    return PrefixSharing(
        block_tokens=prefix.block_tokens,
        requests=int((prefix.counts > 0).sum()),
        blocks=len(prefix.ids),
        distinct_blocks=len(uses),
        used_once=float((uses == 1).mean()),
        hit=share_of(trace, hits_of(trace, prefix, ages_ns < NEVER_NS)),
        hit_within={f"{age_s}s": share_of(trace, hits_of(trace, prefix, ages_ns <= age_s * NS)) for age_s in ages_s},
    )


def has_ages(trace: Trace) -> bool:
    """Whether the time between two requests is known before a run."""
    return trace.has_times and not trace.is_closed_loop


def block_ages_ns(prefix: PrefixBlocks, arrival_ns: Column) -> Column:
    """For each block the time since its previous use, (blocks,); `NEVER_NS` where it is new."""
    order = np.argsort(prefix.ids, kind="stable")  # puts the uses of a block next to each other
    ids, time_ns = prefix.ids[order], np.repeat(arrival_ns, prefix.counts)[order]
    ages_ns = np.full(len(ids), NEVER_NS, dtype=np.int64)
    is_again = ids[1:] == ids[:-1]
    ages_ns[order[1:][is_again]] = (time_ns[1:] - time_ns[:-1])[is_again]
    return ages_ns


def hits_of(trace: Trace, prefix: PrefixBlocks, is_hit: Flags) -> Column:
    """Tokens of each prompt in these blocks, (requests,). The blocks before a hit are hits too."""
    until = np.concatenate([[0], np.cumsum(is_hit)])
    hits = np.diff(until[prefix.ends], prepend=0)
    return np.asarray(np.minimum(hits * prefix.block_tokens, trace.prompt_tokens))


def share_of(trace: Trace, tokens: Column) -> float:
    """The share that these tokens are of all prompt tokens."""
    return int(tokens.sum()) / int(trace.prompt_tokens.sum())
