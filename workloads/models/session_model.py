"""Conversations in a few numbers: how many turns they have, how their prompts grow, how long is thought between two."""

from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta

from ...errors import InvalidScenario
from .. import streams
from ..quantities import NS
from ..streams import stream
from ..trace.trace import Column
from ..trace.turns import NOBODY, Flags, Turns
from .length_mixture import LengthMixture

MOST_TURNS = 1_000_000

Share = Annotated[float, Meta(ge=0, le=1)]
TurnCount = Annotated[int, Meta(ge=1, le=MOST_TURNS)]
Tokens = Annotated[int, Meta(ge=1, le=2**40)]
Sample = np.ndarray[Any, np.dtype[np.float64]]

_LONGEST_THINK_S = 1e8  # three years: more is no pause, and 2^63 ns are not far


class Quantiles(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A distribution by some of its quantiles; from one to the next ln(1 + value) is linear.

    Attributes:
        share: from 0 to 1, rising.
        value: not negative, nowhere falling. One that stands at several shares is drawn as often.
    """

    share: tuple[float, ...]
    value: tuple[float, ...]

    def __post_init__(self) -> None:
        share, value = np.array(self.share), np.array(self.value)
        if not 2 <= len(share) == len(value):
            raise InvalidScenario("quantiles: share and value are not of one length, or of less than two")
        if not (share[0] == 0 and share[-1] == 1 and (np.diff(share) > 0).all()):
            raise InvalidScenario("quantiles: share does not rise from 0 to 1")
        if not (np.isfinite(value).all() and value[0] >= 0 and (np.diff(value) >= 0).all()):
            raise InvalidScenario("quantiles: value is negative or falls")

    def at(self, shares: Sample) -> Sample:
        """The values that these shares of the distribution are below."""
        values: Sample = np.expm1(np.interp(shares, self.share, np.log1p(self.value)))
        return values

    def below(self, value: float) -> float:
        """The share of the distribution that is below a value."""
        return float(np.interp(np.log1p(value), np.log1p(self.value), self.share))


class SessionModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Sessions of turns, each of which comes a while after the answer to the one before.

    A prompt holds its whole conversation. It is longer than the one before by its *growth*, which is all that was added
    since: what was kept of the answer, results of tools, and what the user said; the answer is not added once more. One
    that is shorter is a reset, after which there is a share of the conversation left, as a summary.

    Attributes:
        starts: (tokens of the first prompt, turns) of sessions.
        growth: (growth until the next turn, output) of turns.
        early_growth: the same of turns with prompts of less than `early_tokens`: a conversation grows faster as long as
            it has to gather what it is about.
        most_turns: of a session; what is drawn beyond is cut to it.
        most_growth: of a turn, likewise.
        think_s: from the end of an answer to the next turn.
        limit: tokens that no prompt of a session may be longer than: one that would be is reset instead. Each session
            has its own, which is at least its first prompt.
        reset: probability of a reset before each other turn.
        kept: share of the prompt that is left by a reset.
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
            raise InvalidScenario(f"sessions: think_s is up to {self.think_s.value[-1]:g}, expected less than 1e8")
        if self.kept.value[-1] > 1:
            raise InvalidScenario(f"sessions: kept is up to {self.kept.value[-1]:g}, expected a share")


@dataclass(frozen=True, slots=True)
class DrawnSessions:
    """Sessions one after another, a row a turn.

    Attributes:
        clipped: which rows have a length, or a growth after them, that was cut to the model's range.
        reset: which rows would have been within their session's own limit, but beyond the longest prompt of all.
    """

    prompt_tokens: Column
    output_tokens: Column
    turns: Turns
    clipped: Flags
    reset: Flags


def draw_sessions(model: SessionModel, requests: int, clip: tuple[int, int], seed: int) -> DrawnSessions:
    """As many sessions as there are requests for, the last one cut; with more requests the earlier ones stay the same.

    Args:
        clip: the longest prompt and the longest output.
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
    before = np.where(begins, NOBODY, np.arange(requests) - 1)
    return DrawnSessions(prompt, output, Turns(np.cumsum(begins) - 1, before, think_ns), clipped, reset)


def _session(
    model: SessionModel, clip: tuple[int, int], seed: int, number: int
) -> tuple[Column, Column, Column, Flags, Flags]:
    """Prompts, outputs, think times in ns (the first -1), and which rows were clipped and reset."""
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
    # Whole milliseconds: the last bits of logarithms are not the same on all machines.
    think_ns = np.rint(think_s * 1000).astype(np.int64) * (NS // 1000)
    think_ns[0] = NOBODY
    return prompt, output[is_early, rows], think_ns, clipped, reset


def _prompts(
    model: SessionModel, first: int, growth: list[tuple[int, int]], longest: int, rng: np.random.Generator
) -> tuple[Column, Flags]:
    """A session's prompts, and which of them were reset at the longest of all.

    Args:
        growth: after each, usually and if it is an early one.
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
