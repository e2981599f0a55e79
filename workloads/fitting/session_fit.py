"""What the sessions of a trace are made of, and a model of them."""

from dataclasses import dataclass

import numpy as np

from .. import streams
from ..models.length_mixture import LengthMixture
from ..models.session_model import MOST_TURNS, Quantiles, Sample, SessionModel
from ..quantities import NS
from ..streams import stream
from ..trace.trace import Column
from ..trace.turns import Turns
from . import distances
from .mixture_fit import MOST_COMPONENTS, fit_mixtures

# More of them in the tails, on which loads and pauses hang.
_SHARES = (0.0, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 1.0)

_NEAR_THE_LONGEST = 0.8
"""Of a session's longest prompt: resets from so much on are due to its limit, others happen at any length."""

_EARLY = 0.1
"""The share of all turns that is early, which are those with the shortest prompts."""

_SIZES = range(1, MOST_COMPONENTS + 1)


@dataclass(frozen=True, slots=True)
class SessionTable:
    """The closed loops of a trace. A request that waits for none, and for which none waits, is one of a single turn.

    Attributes:
        prompts: tokens, of all requests.
        outputs: likewise.
        session: of each request, counted from 0 on.
        begins: the first request of each session.
        waiting: the requests that wait.
        before: the request that each of these waits for.
        think_s: how long it comes after the end of that.
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
        """The sessions of some requests."""
        begins, waiting = np.flatnonzero(~turns.waits), np.flatnonzero(turns.waits)
        session = np.searchsorted(begins, turns.first_of_loop())
        return cls(prompts, outputs, session, begins, waiting, turns.after_id[waiting], turns.think_ns[waiting] / NS)

    @property
    def turns(self) -> Column:
        """How many each session has."""
        return np.bincount(self.session)

    @property
    def change(self) -> Column:
        """Tokens that the prompts of those that wait are longer by than the ones before; less than 0: a reset."""
        return self.prompts[self.waiting] - self.prompts[self.before]

    @property
    def early_tokens(self) -> int:
        """Turns with shorter prompts are early."""
        return int(np.quantile(self.prompts, _EARLY, method="inverted_cdf"))

    def samples(self) -> dict[str, distances.Sample]:
        """By what a model is held against a trace."""
        return {
            "turns": self.turns,
            "first_prompt": self.prompts[self.begins],
            "growth": self.change[self.change >= 0],
            "think_s": self.think_s,
        }

    def growth(self, seed: int, *, early: bool = False) -> tuple[Column, Column]:
        """(tokens until the next prompt, output) of early or of other turns.

        Where no turn is next, or a reset, the growth of another turn is drawn, so that all outputs count.
        """
        growth = np.zeros_like(self.prompts)
        growth[self.before] = np.maximum(self.change, 1) * (self.change >= 0)
        rows = (self.prompts < self.early_tokens) == early
        growth, unknown = growth[rows], growth[rows] == 0
        known = np.ones(1, dtype=np.int64) if unknown.all() else growth[~unknown]
        growth[unknown] = stream(seed, streams.FIT_GROWTH, early).choice(known, int(unknown.sum()))
        return growth, self.outputs[rows]


def fit_sessions(table: SessionTable, growth: LengthMixture, seed: int) -> SessionModel:
    """The model of sessions of which growth and output, but for those of early turns, have been fitted."""
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
    """The limits of sessions, and how many resets are not due to them.

    A session climbs from its beginning, or from a reset, to the next reset or its end. Most climbs end before they are
    at a limit, and some begin beyond that of others: this is the product-limit estimate over all of them (Kaplan and
    Meier 1958, with late entry). One more that climbs to the longest prompt of all, which was somebody's limit at
    least, keeps it from ending where the few that are there happen to be reset.
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
    climbing = np.searchsorted(np.sort(starts), levels, "right") - np.searchsorted(np.sort(ends), levels, "left")
    below = 1 - np.cumprod(1 - count / (np.maximum(climbing, count) + 1))
    values = np.append(levels, longest.max())[np.searchsorted(below, _SHARES)]
    return Quantiles(_SHARES, tuple(values.tolist())), int((~near).sum())


def _quantiles(sample: Sample) -> Quantiles:
    values = np.quantile(sample, _SHARES, method="inverted_cdf")
    return Quantiles(_SHARES, tuple(round(float(value), 6) for value in values))
