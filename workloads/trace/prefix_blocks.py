"""Which blocks of a prompt are also at the beginning of other prompts, where a trace says so."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from .turns import Column, Flags

_NOTHING = -1


@dataclass(frozen=True, slots=True, eq=False)
class PrefixBlocks:
    """The prompts of a trace as blocks of tokens; equal numbers are equal blocks with all that is before them.

    Attributes:
        block_tokens: tokens in each; the last block of a prompt may have fewer.
        ends: of each request: where its blocks end in `ids`; they begin where those of the request before it end.
        ids: the blocks of all requests, end to end.
    """

    block_tokens: int
    ends: Column
    ids: Column

    @classmethod
    def of_lists(cls, block_tokens: int, counts: Column, ids: Column) -> Self:
        """From the number of blocks of each request."""
        return cls(block_tokens, np.cumsum(counts), ids)

    @property
    def counts(self) -> Column:
        """How many blocks each request has."""
        return np.diff(self.ends, prepend=0)

    @property
    def breaks(self) -> Flags:
        """Which blocks come after another one than the same block did before: none do in what a trace may hold."""
        before = np.empty_like(self.ids)
        before[1:] = self.ids[:-1]
        before[(self.ends - self.counts)[self.counts > 0]] = _NOTHING
        order = np.argsort(self.ids, kind="stable")
        ids, before = self.ids[order], before[order]
        found = np.zeros(len(ids), dtype=bool)
        found[order[1:][(ids[1:] == ids[:-1]) & (before[1:] != before[:-1])]] = True
        return found

    def at(self, positions: Column) -> Self:
        """The requests at these positions, in this order."""
        counts = self.counts
        return self._picked(positions, counts[positions])

    def shortened(self, prompt_tokens: Column) -> Self:
        """With prompts cut at their ends to these lengths."""
        needed = -(-prompt_tokens // self.block_tokens)
        return self._picked(np.arange(len(self.ends)), np.minimum(self.counts, needed))

    def _picked(self, positions: Column, counts: Column) -> Self:
        """So many of the first blocks of each of these requests."""
        starts = (self.ends - self.counts)[positions]
        ends = np.cumsum(counts)
        places = np.arange(int(ends[-1]) if len(ends) else 0)
        places += np.repeat(starts - (ends - counts), counts)
        return type(self)(self.block_tokens, ends, self.ids[places])
