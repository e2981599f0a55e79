"""Conversations in a few numbers: turns, growth of the prompt from turn to turn, and think times."""

from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta

from ...errors import InvalidScenario
from .. import streams
from ..quantities import NS
from ..streams import stream
from ..trace import Column, Flags, Turns
from ..trace.turns import ABSENT
from .length_mixture import LengthMixture

MOST_TURNS = 1_000_000

Share = Annotated[float, Meta(ge=0, le=1)]
TurnCount = Annotated[int, Meta(ge=1, le=MOST_TURNS)]
Tokens = Annotated[int, Meta(ge=1, le=2**40)]
Sample = np.ndarray[Any, np.dtype[np.float64]]

_LONGEST_THINK_S = 1e8  # three years: longer is not a pause, and 2^63 ns are near


class Quantiles(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A distribution given by quantiles; between two of them ln(1 + value) is interpolated linearly.

    Attributes:
        share: rising from 0 to 1.
        value: 0 or more, non-decreasing. A value at several shares has the probability between them.
    """

    share: tuple[float, ...]
    value: tuple[float, ...]

    def __post_init__(self) -> None:
        share, value = np.array(self.share), np.array(self.value)
        if not 2 <= len(share) == len(value):
            raise InvalidScenario("quantiles: share and value must have the same length, at least 2")
        if not (share[0] == 0 and share[-1] == 1 and (np.diff(share) > 0).all()):
            raise InvalidScenario("quantiles: share must rise from 0 to 1")
        if not (np.isfinite(value).all() and value[0] >= 0 and (np.diff(value) >= 0).all()):
            raise InvalidScenario("quantiles: value must be 0 or more and must not fall")

    def at(self, shares: Sample) -> Sample:
        """The quantiles at these shares."""
        values: Sample = np.expm1(np.interp(shares, self.share, np.log1p(self.value)))
        return values

    def below(self, value: float) -> float:
        """The share of the distribution below a value."""
        return float(np.interp(np.log1p(value), np.log1p(self.value), self.share))


class SessionModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Sessions of turns; each turn arrives some time after the answer to the one before it.

    A prompt holds its whole conversation. It is longer than the prompt before it by its *growth*: the kept part of the
    answer, the results of tools, and the user's words; the answer is not added again. A shorter prompt is a reset,
    which leaves a share of the conversation, as a summary does.

    Attributes:
        starts: (tokens of the first prompt, number of turns) of sessions.
        growth: (growth until the next turn, output tokens) of turns.
        early_growth: the same for turns with prompts of less than `early_tokens`: a conversation grows faster while it
            collects its context.
        most_turns: the most turns of a session; larger draws are clipped to it.
        most_growth: the largest growth of a turn; larger draws are clipped to it.
        think_s: the time from the end of an answer to the next turn.
        limit: the longest prompt of a session in tokens: a longer one is reset instead. Each session draws its own
            limit, which is at least its first prompt.
        reset: the probability of a reset before each other turn.
        kept: the share of the prompt that remains after a reset.
    """

    starts: LengthMixture
    growth: LengthMixture
    early_growth: LengthMixture
    early_tokens: Tokens
    most_turns: TurnCount
    most_growth: Tokens
    think_s: Quantiles
    limit: Quantiles
    reset: Share
    kept: Quantiles

    def __post_init__(self) -> None:
        if self.think_s.value[-1] > _LONGEST_THINK_S:
            raise InvalidScenario(f"sessions: think_s reaches {self.think_s.value[-1]:g}, expected at most 1e8")
        if self.kept.value[-1] > 1:
            raise InvalidScenario(f"sessions: kept reaches {self.kept.value[-1]:g}, expected at most 1")


@dataclass(frozen=True, slots=True)
class DrawnSessions:
    """Sessions one after another, one row per turn. All columns have the shape (turns,).

    Attributes:
        clipped: the rows whose lengths, or whose growth afterwards, were clipped to the range of the model.
        reset: the rows that were reset at the longest prompt of all, though their session's own limit is higher.
    """

    prompt_tokens: Column
    output_tokens: Column
    turns: Turns
    clipped: Flags
    reset: Flags


def draw_sessions(model: SessionModel, requests: int, clip: tuple[int, int], seed: int) -> DrawnSessions:
    """Draw sessions until they have `requests` turns; the last session is cut.

    More requests leave earlier ones unchanged.

    Args:
        clip: the longest prompt and the longest output, in tokens.
    """
    sessions: list[tuple[Column, Column, Column, Flags, Flags]] = []
    count = 0
    while count < requests:
        sessions.append(_session(model, clip, seed, len(sessions)))
        count += len(sessions[-1][0])
    prompt, output, think_ns, clipped, reset = (
        np.concatenate(columns)[:requests] for columns in zip(*sessions, strict=True)
    )
    begins = think_ns < 0
    before = np.where(begins, ABSENT, np.arange(requests) - 1)
    return DrawnSessions(prompt, output, Turns(np.cumsum(begins) - 1, before, think_ns), clipped, reset)


def _session(
    model: SessionModel, clip: tuple[int, int], seed: int, number: int
) -> tuple[Column, Column, Column, Flags, Flags]:
    """Prompts, outputs, think times in ns (the first is -1), and which rows were clipped and reset."""
    rng = stream(seed, streams.SESSION_LENGTHS, number)
    (first,), (turns,), start_clipped = model.starts.draw(1, (clip[0], model.most_turns), rng)
    drawn = [
        mixture.draw(int(turns), (model.most_growth, clip[1]), rng) for mixture in (model.growth, model.early_growth)
    ]
    growth, output, clipped = (np.stack(columns) for columns in zip(*drawn, strict=True))
    rng = stream(seed, streams.SESSION_RESETS, number)
    prompt, reset = _prompts(model, int(first), growth.T.tolist(), clip[0], rng)
    is_early = (prompt < model.early_tokens).astype(np.int64)
    rows = np.arange(len(prompt))
    clipped = clipped[is_early, rows]
    clipped[0] |= start_clipped[0]
    think_s = model.think_s.at(stream(seed, streams.SESSION_THINK, number).random(len(prompt)))
    # Rounded to milliseconds: the last bits of logarithms differ between machines.
    think_ns = np.rint(think_s * 1000).astype(np.int64) * (NS // 1000)
    think_ns[0] = ABSENT
    return prompt, output[is_early, rows], think_ns, clipped, reset


def _prompts(
    model: SessionModel, first: int, growth: list[tuple[int, int]], longest: int, rng: np.random.Generator
) -> tuple[Column, Flags]:
    """The prompts of a session, and which of them were reset at the longest prompt of all.

    Args:
        growth: after each turn, for usual and for early prompts.
    """
    below = model.limit.below(first)
    of_its_own = max(float(model.limit.at(below + (1 - below) * rng.random(1))[0]), first)
    limit = min(of_its_own, longest)
    chance, kept = rng.random((2, len(growth)))
    prompts = [first]
    reset = np.zeros(len(growth), dtype=np.bool_)
    steps = zip(growth[:-1], chance.tolist(), model.kept.at(kept).tolist(), strict=False)
    for turn, (more, drawn, share) in enumerate(steps, start=1):
        prompt = prompts[-1]
        grown = prompt + more[prompt < model.early_tokens]
        if grown > limit or drawn < model.reset:
            reset[turn] = longest < grown <= of_its_own
            grown = max(round(prompt * share), 1)
        prompts.append(grown)
    return np.array(prompts, dtype=np.int64), reset
