"""The result of a comparison: the winner, its advantage, and whether memory was the bottleneck."""

from collections.abc import Sequence
from dataclasses import dataclass

from ...records import RunInfo
from . import sentences
from .contender import Contender, contenders
from .contest import contest, incomparable, standings
from .factor import FactorOver, factor_over
from .remarks import remarks_on_one, remarks_on_winner, remarks_without_winner


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of a comparison.

    Attributes:
        contenders: all runs, in their order.
        headline: who wins and by how much, in a few words.
        sentence: the same in full, with the best count policy, and whether memory was the bottleneck.
        details: what else a reader must know, losses included.
        winner: position of the winning run; None if the runs cannot be compared, or if nothing finished.
        ranking: positions of all runs that compete, best first if there is a winner.
        tied: nothing tells the winner apart from another run.
        factor: how far the winner is ahead of the best count policy, or else of the runner-up.
    """

    contenders: Sequence[Contender]
    headline: str
    sentence: str
    details: list[str]
    winner: int | None
    ranking: list[int]
    tied: bool = False
    factor: FactorOver | None = None

    @property
    def contested(self) -> bool:
        """Whether there was more than one run."""
        return len(self.contenders) > 1

    @property
    def name(self) -> str:
        """The label of the winner; empty if there is none."""
        return "" if self.winner is None else self.contenders[self.winner].label

    @property
    def sole_winner(self) -> int | None:
        """Position of the run that wins against others and ties with none."""
        return self.winner if self.contested and not self.tied else None


def verdict(infos: Sequence[RunInfo], replicates: Sequence[Sequence[RunInfo]] = ()) -> Verdict:
    """Judge runs of the same requests. For who competes see `contest`.

    Args:
        replicates: for each run the records of all its seeds, including its own. Figures are then means over the
            seeds that all runs have in common.
    """
    everyone = contenders(infos, replicates)
    ranked = contest(everyone)
    if settings := incomparable(everyone):
        return _without_winner(everyone, ranked, sentences.of_differing_runs(settings))
    if not any(each.summary.finished for each in ranked):
        return _without_winner(everyone, ranked, sentences.of_no_result(ranked))
    if len(everyone) == 1:
        return Verdict(everyone, *sentences.of_one_run(everyone[0]), remarks_on_one(everyone[0]), 0, [0])
    found = standings(everyone)
    return Verdict(
        contenders=everyone,
        headline=sentences.headline_of(found),
        sentence=sentences.text_of(found),
        details=remarks_on_winner(found),
        winner=found.best.position,
        ranking=[each.position for each in ranked],
        tied=len(found.tied) > 1,
        factor=factor_over(found.best, found.rival) if found.rival is not None else None,
    )


def _without_winner(everyone: Sequence[Contender], ranked: Sequence[Contender], text: tuple[str, str]) -> Verdict:
    ranking = sorted(each.position for each in ranked)
    return Verdict(everyone, *text, remarks_without_winner(everyone), None, ranking)
