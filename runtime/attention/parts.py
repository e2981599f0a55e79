"""How caches are cut into parts, and which program works on which: the time of a step is that of the longest hand.

Program h of a device that runs `hands` of them at once takes the parts at h, h + hands, h + 2 * hands and so on.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.int64]

_SHARES = (0.5, 0.7, 1.0, 1.15, 1.35)
"""Sizes of parts that are tried, in hands' fair shares: whole shares where rows are few, halves where they are many."""

_SMALLEST = 64
_GRAIN = 16
"""Of parts: their least size, and what they are multiples of."""

_OVERHEAD = 90
"""What a part costs beside its tokens, in tokens: about 3 microseconds on an H200."""


@dataclass(frozen=True, slots=True)
class Cut:
    """Tiles' tokens in parts, those of a tile side by side.

    Attributes:
        counts: parts of each tile.
        tile, starts, stops: of each part: its tile, and the tokens that it covers there.
        order: in which the parts are dealt.
        longest: of all hands, in tokens.
    """

    counts: Numbers
    tile: Numbers
    starts: Numbers
    stops: Numbers
    order: Numbers
    longest: int


def most_parts(tiles: int, hands: int) -> int:
    """As many parts as `best_cut` ever makes."""
    return tiles + int(hands / _SHARES[0]) + 1


def best_cut(tokens: Numbers, hands: int) -> Cut:
    """Of the cuts that are tried the one whose longest hand is the shortest.

    Args:
        tokens: of each tile.
        hands: programs that work at once.
    """
    fair = tokens.sum() / hands
    cuts = (_cut(tokens, max(int(np.ceil(fair * share)), _SMALLEST), hands) for share in _SHARES)
    return min(cuts, key=lambda cut: cut.longest)


def _cut(tokens: Numbers, size: int, hands: int) -> Cut:
    """Parts of up to about `size` tokens, those of a tile about equal."""
    sizes = -(-tokens // np.maximum(-(-tokens // size), 1) // _GRAIN) * _GRAIN
    counts = -(-tokens // np.maximum(sizes, 1))
    ends = np.cumsum(counts)
    tile = np.repeat(np.arange(len(tokens)), counts)
    starts = (np.arange(len(tile)) - (ends - counts)[tile]) * sizes[tile]
    stops = np.minimum(starts + sizes[tile], tokens[tile])
    lengths = stops - starts
    order = dealt(lengths, hands)
    loads = np.zeros(-(-len(order) // hands) * hands, dtype=np.int64)
    loads[: len(order)] = lengths[order] + _OVERHEAD
    return Cut(counts, tile, starts, stops, order, int(loads.reshape(-1, hands).sum(axis=0).max(initial=0)))


def dealt(tokens: Numbers, hands: int) -> Numbers:
    """The order in which dealing parts of so many tokens gives all hands about the same: long parts first, every other
    round turned round, so that who gets one of the last, short round's parts got a short one before.
    """
    order = np.argsort(-tokens, kind="stable")
    rounds = len(order) // hands
    turned = order[: rounds * hands].reshape(rounds, hands)[::-1][::2]
    turned[:] = turned[:, ::-1].copy()
    return order
