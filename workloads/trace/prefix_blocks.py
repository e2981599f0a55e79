"""Prefix blocks: which beginnings prompts share, where a trace says so."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from .turns import Column, Flags

_NO_BLOCK = -1


@dataclass(frozen=True, slots=True, eq=False)
class PrefixBlocks:
    """The prompts of a trace as blocks of tokens. Two blocks have the same id if they and all before them are equal.

    Attributes:
        block_tokens: tokens in a block; the last block of a prompt may have fewer.
        ends: (requests,), where the blocks of each request end in `ids`; they begin where those of the previous request
            end.
        ids: (blocks,), the blocks of all requests, end to end.
    """

    block_tokens: int
    ends: Column
    ids: Column

    @classmethod
    def of_lists(cls, block_tokens: int, counts: Column, ids: Column) -> Self:
        """From the number of blocks of each request, (requests,)."""
        return cls(block_tokens, np.cumsum(counts), ids)

    @property
    def counts(self) -> Column:
        """The number of blocks of each request, (requests,)."""
        return np.diff(self.ends, prepend=0)

    @property
    def breaks(self) -> Flags:
        """Which blocks follow another block than their equal did earlier, (blocks,). In a valid trace none does."""
        before = np.empty_like(self.ids)
        before[1:] = self.ids[:-1]
        before[(self.ends - self.counts)[self.counts > 0]] = _NO_BLOCK
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
        """The same with prompts cut at their ends to these lengths, (requests,)."""
        needed = -(-prompt_tokens // self.block_tokens)
        return self._picked(np.arange(len(self.ends)), np.minimum(self.counts, needed))

    def _picked(self, positions: Column, counts: Column) -> Self:
        """The first `counts` blocks of each of these requests."""
        starts = (self.ends - self.counts)[positions]
        ends = np.cumsum(counts)
        places = np.arange(int(ends[-1]) if len(ends) else 0)
        places += np.repeat(starts - (ends - counts), counts)
        return type(self)(self.block_tokens, ends, self.ids[places])
