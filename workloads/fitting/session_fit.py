"""The sessions of a trace, and a model fitted to them."""

from dataclasses import dataclass

import numpy as np

from .. import streams
from ..models.length_mixture import LengthMixture
from ..models.session_model import MOST_TURNS, Quantiles, Sample, SessionModel
from ..quantities import NS
from ..streams import stream
from ..trace import Column, Turns
from . import distances
from .mixture_fit import MOST_COMPONENTS, fit_mixtures

# More quantiles in the tails, since long prompts and long pauses matter most.
_SHARES = (0.0, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 1.0)

_NEAR_THE_LONGEST = 0.8
"""A reset at this share of a session's longest prompt or more is due to its limit; others can happen at any length."""

_EARLY = 0.1
"""The share of turns that count as early: those with the shortest prompts."""

_SIZES = range(1, MOST_COMPONENTS + 1)


@dataclass(frozen=True, slots=True)
class SessionTable:
    """The closed loops of a trace as sessions. An independent request is a session of one turn.

    Attributes:
        prompts, outputs: (requests,), tokens.
        session: (requests,), the number of each request's session, counted from 0.
        begins: (sessions,), the position of each session's first request.
        waiting: (waiting,), the positions of the requests that wait.
        before: (waiting,), the position of the request that each of these waits for.
        think_s: (waiting,), the time from the end of that request to the arrival of this one.
    """

    prompts: Column
    outputs: Column
    session: Column
    begins: Column
    waiting: Column
    before: Column
    think_s: Sample

    @classmethod
    def of(cls, prompts: Column, outputs: Column, turns: Turns) -> "SessionTable":
        """The sessions of requests with these turns."""
        begins, waiting = np.flatnonzero(~turns.waits), np.flatnonzero(turns.waits)
        session = np.searchsorted(begins, turns.first_of_loop())
        return cls(prompts, outputs, session, begins, waiting, turns.after_id[waiting], turns.think_ns[waiting] / NS)

    @property
    def turns(self) -> Column:
        """The number of turns of each session, (sessions,)."""
        return np.bincount(self.session)

    @property
    def change(self) -> Column:
        """How many tokens each waiting prompt is longer than the one before it, (waiting,); negative: a reset."""
        return self.prompts[self.waiting] - self.prompts[self.before]

    @property
    def early_tokens(self) -> int:
        """The limit of early turns: those with prompts of fewer tokens."""
        return int(np.quantile(self.prompts, _EARLY, method="inverted_cdf"))

    def samples(self) -> dict[str, distances.Sample]:
        """The samples in which a model is compared with a trace, by name."""
        return {
            "turns": self.turns,
            "first_prompt": self.prompts[self.begins],
            "growth": self.change[self.change >= 0],
            "think_s": self.think_s,
        }

    def growth(self, seed: int, *, early: bool = False) -> tuple[Column, Column]:
        """(growth until the next prompt, output) of early or of other turns, in tokens.

        Where no turn or a reset follows, the growth of another turn is drawn, so that all outputs count.
        """
        growth = np.zeros_like(self.prompts)
        growth[self.before] = np.maximum(self.change, 1) * (self.change >= 0)
        rows = (self.prompts < self.early_tokens) == early
        growth, unknown = growth[rows], growth[rows] == 0
        known = np.ones(1, dtype=np.int64) if unknown.all() else growth[~unknown]
        growth[unknown] = stream(seed, streams.FIT_GROWTH, early).choice(known, int(unknown.sum()))
        return growth, self.outputs[rows]


def fit_sessions(table: SessionTable, growth: LengthMixture, seed: int) -> SessionModel:
    """Fit the model of sessions. `growth` is the fitted mixture of growth and output of turns that are not early."""
    early = table.growth(seed, early=True)
    resets = table.change < 0
    kept = table.prompts[table.waiting[resets]] / table.prompts[table.before[resets]]
    limit, others = _limit(table)
    return SessionModel(
        starts=_best(table.prompts[table.begins], table.turns, seed),
        growth=growth,
        early_growth=_best(*early, seed) if len(early[0]) else growth,
        early_tokens=table.early_tokens,
        most_turns=min(int(table.turns.max()), MOST_TURNS),
        most_growth=max(int(table.change.max()), 1),
        think_s=_quantiles(table.think_s),
        limit=limit,
        reset=round(others / len(resets), 6),
        kept=_quantiles(kept if len(kept) else np.ones(1)),
    )


def _best(one: Column, other: Column, seed: int) -> LengthMixture:
    return min(fit_mixtures(one, other, _SIZES, seed).values(), key=lambda fit: fit.bic).mixture


def _limit(table: SessionTable) -> tuple[Quantiles, int]:
    """The distribution of session limits, and the number of resets that are not due to a limit.

    A session grows from its beginning, or from a reset, to the next reset or to its end. Most of these stretches end
    before they reach a limit, and some begin above the limit of others. So this is the product-limit estimate over all
    stretches (Kaplan and Meier 1958, with late entry). It counts one more stretch, up to the longest prompt of all,
    which is a lower bound of its session's limit. Without it the estimate would end at the resets of the few longest
    stretches.
    """
    longest = np.zeros(len(table.begins), dtype=np.int64)
    np.maximum.at(longest, table.session, table.prompts)
    resets = table.change < 0
    reached, session = table.prompts[table.before[resets]], table.session[table.waiting[resets]]
    near = reached >= _NEAR_THE_LONGEST * longest[session]
    last = np.zeros(len(table.begins), dtype=np.int64)
    np.maximum.at(last, table.session, np.arange(len(table.prompts)))
    starts = np.concatenate([table.prompts[table.begins], table.prompts[table.waiting[resets]]])
    ends = np.concatenate([table.prompts[last], reached])
    levels, count = np.unique(reached[near], return_counts=True)
    growing = np.searchsorted(np.sort(starts), levels, "right") - np.searchsorted(np.sort(ends), levels, "left")
    below = 1 - np.cumprod(1 - count / (np.maximum(growing, count) + 1))
    values = np.append(levels, longest.max())[np.searchsorted(below, _SHARES)]
    return Quantiles(_SHARES, tuple(values.tolist())), int((~near).sum())


def _quantiles(sample: Sample) -> Quantiles:
    values = np.quantile(sample, _SHARES, method="inverted_cdf")
    return Quantiles(_SHARES, tuple(round(float(value), 6) for value in values))
