"""The grid of a calibration: which steps are measured."""

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
_LONGEST_ROW = 4  # times the average
_DECODING_BETWEEN, _SHORT = 3, 2048  # steps, after prefills of up to so many tokens
_HEATING, _HOT_ROWS = 16, 64  # steps before the measured ones, with so many rows or more
_DECODE_STEPS, _PREFILL_STEPS = 8, 3

LONGEST_ROW_TOKENS = _LONGEST_ROW * max(_CONTEXTS) + 256
"""The longest request of the grid, but for prompts that fill whole steps."""


@dataclass(frozen=True, slots=True)
class Point:
    """One kind of step.

    Attributes:
        rows: that decode, from caches of unlike lengths, `context` tokens on average or somewhat more.
        prompts: whole ones that a step prefills beside them, each of `length` tokens.
        longest: one of them has a cache of so many tokens instead.
        chunk: or else: tokens of a step's prefill, of one prompt, from its token `start` on at the earliest.
        steps: that are measured.
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
        """Steps that only decode after each that prefills, as when requests come now and then: the device has time to
        rest, and the host to launch the next one.
        """
        return _DECODING_BETWEEN if self.rows and self.prompts and self.prefill <= _SHORT else 0

    @property
    def steps_to_warm(self) -> int:
        """That are computed and not measured: before the first the device waits for the host, and many rows at once
        bring it to its power limit.
        """
        return _HEATING if self.rows >= _HOT_ROWS and not self.prefill else 1 + self.decoding_between

    @property
    def all_steps(self) -> int:
        """That are computed."""
        return self.steps_to_warm + self.steps * (1 + self.decoding_between)

    @property
    def prefill(self) -> int:
        """Tokens of a step."""
        return self.prompts * self.length or self.chunk

    @property
    def step_tokens(self) -> int:
        """All tokens of a step."""
        return self.rows + self.prefill

    @property
    def steps_before(self) -> int:
        """Of the chunk's prompt, before those that are measured."""
        return -(-self.start // self.chunk) if self.chunk else 0

    @property
    def prompt_tokens(self) -> int:
        """Of each prompt that is prefilled; one step more than is measured."""
        return self.length or self.chunk * (self.steps_before + self.steps + 1)

    @property
    def row_tokens(self) -> int:
        """In the decoding requests' caches at the end, on average and at most: they decode until the last one does."""
        ahead = -(-self.rows * self.context // self.prefill) if self.prefill else 16
        return self.context + ahead + self.steps_before + self.all_steps + 16

    @property
    def cached_tokens(self) -> int:
        """Of all, at most."""
        return self.rows * self.row_tokens + self.longest + self.prefill * (self.steps + 1) + self.prompt_tokens


def grid(step_tokens: int, seats: int, cached_tokens: int, longest: int) -> Iterator[Point]:
    """Points that an engine of those limits can run: decoding, whole prompts, chunks, and both beside decoding."""
    rows = sorted({count for count in _ROWS if count < seats} | {seats})
    decoding = (Point(count, context, steps=_DECODE_STEPS) for count in rows for context in _CONTEXTS)
    one_long = (Point(count, 512, longest, steps=_DECODE_STEPS) for count in _BESIDE_LONGEST for longest in _LONGEST)
    whole = (
        Point(prompts=total // length, length=length) for total in _STEPS for length in _LENGTHS if length <= total
    )
    chunks = (Point(chunk=chunk, start=start) for chunk in _CHUNKS for start in _STARTS)
    beside = (
        Point(count, 1024, prompts=max(total // 1024, 1), length=min(total, 1024))
        for count in _MIXED_ROWS
        for total in _MIXED_PREFILL
    )
    chunks_beside = (Point(count, 1024, chunk=chunk, start=4096) for count in _MIXED_ROWS for chunk in _MIXED_CHUNKS)
    for point in (*decoding, *one_long, *whole, *chunks, *beside, *chunks_beside):
        fits = point.step_tokens <= step_tokens and point.rows + max(point.prompts, 1) <= seats + (not point.prefill)
        longest_row = point.row_tokens + max((_LONGEST_ROW - 1) * point.context, point.longest)
        if fits and point.cached_tokens <= cached_tokens and max(point.prompt_tokens + 1, longest_row) <= longest:
            yield point


def unlike_lengths(point: Point, rng: np.random.Generator) -> list[int]:
    """Lengths of the decoding requests' prompts, `point.context` on average: the longest are what others wait for."""
    if not point.rows:
        return []
    lengths = np.clip(rng.lognormal(sigma=0.8, size=point.rows), 1 / _LONGEST_ROW, _LONGEST_ROW / 2)
    scaled = np.clip(np.floor(lengths / lengths.mean() * point.context), 1, _LONGEST_ROW * point.context)
    if point.longest:
        scaled[0] = point.longest
    return [int(each) for each in scaled]
