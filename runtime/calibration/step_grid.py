"""The grid of a calibration: the steps that are measured."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

_ROWS = (
    *(1, 2, 4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 192, 224, 256),
    *(288, 320, 384, 448, 512, 640, 768, 896, 1024),
)
_CONTEXTS = (128, 1024, 4096, 7000)
_BESIDE_LONGEST, _LONGEST = (8, 16, 32, 64, 128, 256, 384), (12_000, 24_000)
_LENGTHS = (64, 256, 1024, 2048, 4096, 8192, 16_384)
_STEPS = (256, 512, 1024, 2048, 4096, 8192, 16_384)
_CHUNKS = (16, 64, 128, 208, 320, 512, 768, 1024, 1536, 2048, 4096, 8192)
_STARTS = (1024, 8192)
_MIXED_ROWS = (4, 16, 32, 64, 128, 256)
_MIXED_PREFILL = (16, 64, 128, 208, 320, 512, 768, 1024, 2048, 4096, 8192, 14_336)
_MIXED_CHUNKS = (64, 208, 512, 2048, 8192)
_LONGEST_ROW = 4  # the longest cache of a step, in multiples of the average
_DECODING_BETWEEN, _SHORT = 3, 2048  # steps that only decode, after a prefill of at most _SHORT tokens
_HEATING, _HOT_ROWS = 16, 64  # steps before the measured ones, with at least _HOT_ROWS rows
_DECODE_STEPS, _PREFILL_STEPS = 8, 3

LONGEST_ROW_TOKENS = _LONGEST_ROW * max(_CONTEXTS) + 256
"""The longest request of the grid, except prompts that fill whole steps."""


@dataclass(frozen=True, slots=True)
class GridPoint:
    """One kind of step.

    Attributes:
        rows: how many requests decode, from caches of different lengths.
        context: the average length of these caches; they may be somewhat longer.
        longest: tokens of the longest of these caches; 0: no cache is made longer.
        prompts: how many whole prompts a step prefills beside them.
        length: tokens of each of these prompts.
        chunk: in place of whole prompts: how many tokens of one prompt a step prefills.
        start: the first measured chunk begins at this token of its prompt or later.
        steps: how many are measured.
    """

    rows: int = 0
    context: int = 0
    longest: int = 0
    prompts: int = 0
    length: int = 0
    chunk: int = 0
    start: int = 0
    steps: int = _PREFILL_STEPS

    @property
    def decoding_between(self) -> int:
        """How many steps only decode after each step that prefills, as when requests come one by one.

        Meanwhile the device cools, and the host launches the next step.
        """
        return _DECODING_BETWEEN if self.rows and self.prompts and self.prefill <= _SHORT else 0

    @property
    def steps_to_warm(self) -> int:
        """How many steps are computed before the measured ones.

        Before the first step the device waits for the host. Many rows at once bring it to its power limit.
        """
        return _HEATING if self.rows >= _HOT_ROWS and not self.prefill else 1 + self.decoding_between

    @property
    def all_steps(self) -> int:
        """How many steps are computed."""
        return self.steps_to_warm + self.steps * (1 + self.decoding_between)

    @property
    def prefill(self) -> int:
        """Prefill tokens of a step."""
        return self.prompts * self.length or self.chunk

    @property
    def step_tokens(self) -> int:
        """All tokens of a step."""
        return self.rows + self.prefill

    @property
    def steps_before(self) -> int:
        """How many chunks of the prompt come before the measured ones."""
        return -(-self.start // self.chunk) if self.chunk else 0

    @property
    def prompt_tokens(self) -> int:
        """The length of each prefilled prompt: one step more than is measured."""
        return self.length or self.chunk * (self.steps_before + self.steps + 1)

    @property
    def row_tokens(self) -> int:
        """The longest cache of a decoding request, on average: the first ones decode until the last one does too."""
        ahead = -(-self.rows * self.context // self.prefill) if self.prefill else 16
        return self.context + ahead + self.steps_before + self.all_steps + 16

    @property
    def cached_tokens(self) -> int:
        """All cached tokens, at most."""
        return self.rows * self.row_tokens + self.longest + self.prefill * (self.steps + 1) + self.prompt_tokens


def grid(step_tokens: int, seats: int, cached_tokens: int, longest: int) -> Iterator[GridPoint]:
    """The points that an engine can run: decoding, whole prompts, chunks, and both beside decoding.

    Args:
        step_tokens: the most tokens of a step.
        seats: the most requests.
        cached_tokens: the most tokens in the caches of all requests.
        longest: the most tokens of a request.
    """
    rows = sorted({count for count in _ROWS if count < seats} | {seats})
    decoding = (GridPoint(count, context, steps=_DECODE_STEPS) for count in rows for context in _CONTEXTS)
    one_long = (
        GridPoint(count, 512, longest, steps=_DECODE_STEPS) for count in _BESIDE_LONGEST for longest in _LONGEST
    )
    whole = (
        GridPoint(prompts=total // length, length=length) for total in _STEPS for length in _LENGTHS if length <= total
    )
    chunks = (GridPoint(chunk=chunk, start=start) for chunk in _CHUNKS for start in _STARTS)
    beside = (
        GridPoint(count, 1024, prompts=max(total // 1024, 1), length=min(total, 1024))
        for count in _MIXED_ROWS
        for total in _MIXED_PREFILL
    )
    chunks_beside = (
        GridPoint(count, 1024, chunk=chunk, start=4096) for count in _MIXED_ROWS for chunk in _MIXED_CHUNKS
    )
    for point in (*decoding, *one_long, *whole, *chunks, *beside, *chunks_beside):
        fits = point.step_tokens <= step_tokens and point.rows + max(point.prompts, 1) <= seats + (not point.prefill)
        longest_row = point.row_tokens + max((_LONGEST_ROW - 1) * point.context, point.longest)
        if fits and point.cached_tokens <= cached_tokens and max(point.prompt_tokens + 1, longest_row) <= longest:
            yield point


def different_lengths(point: GridPoint, rng: np.random.Generator) -> list[int]:
    """The prompt lengths of the decoding requests, `point.context` on average.

    They differ, since a step can take as long as its longest request.
    """
    if not point.rows:
        return []
    lengths = np.clip(rng.lognormal(sigma=0.8, size=point.rows), 1 / _LONGEST_ROW, _LONGEST_ROW / 2)
    scaled = np.clip(np.floor(lengths / lengths.mean() * point.context), 1, _LONGEST_ROW * point.context)
    if point.longest:
        scaled[0] = point.longest
    return [int(each) for each in scaled]
