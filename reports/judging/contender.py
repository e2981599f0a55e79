"""One run of a comparison with everything that the verdict says about it, built once from the records."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import geometric_mean

import msgspec

from ...records import RunInfo
from ...records.metrics import Summary, averaged, summary_of
from .cases import are_simulations_of_measured, on_common_seeds
from .figure import GOODPUT, MEAN_E2E, THROUGHPUT, Figure


@dataclass(frozen=True, slots=True, eq=False)
class Contender:
    """A policy in a comparison.

    Attributes:
        position: its place among the runs of the comparison.
        label: how it is shown, different for each contender.
        info: the record of its first seed.
        replicates: the records of all its seeds.
        compared: the records of the seeds that all contenders completed: figures and factors are made of these.
        by_seed: the summaries of `compared`, by seed.
        summary: one summary for `by_seed`; see `central`.
        repeats_measurement: it simulates what another contender measured, and so does not compete.
    """

    position: int
    label: str
    info: RunInfo
    replicates: Sequence[RunInfo]
    compared: Sequence[RunInfo]
    by_seed: Mapping[int, Summary]
    summary: Summary
    repeats_measurement: bool

    @property
    def complete(self) -> bool:
        """Whether all compared runs came to their end."""
        return all(info.complete for info in self.compared)

    @property
    def upper_bound(self) -> bool:
        """Whether the policy saw true output lengths, which no engine can."""
        return self.info.upper_bound

    @property
    def counts_requests(self) -> bool:
        """Whether the policy caps a batch by its number of requests, and so ignores memory."""
        return self.info.counts_requests


def contenders(infos: Sequence[RunInfo], replicates: Sequence[Sequence[RunInfo]] = ()) -> list[Contender]:
    """The contenders of a comparison.

    Args:
        replicates: for each run the records of all its seeds, including its own; by default each run is alone.
    """
    replicates = replicates or [[info] for info in infos]
    columns = zip(
        labels_of(infos),
        infos,
        replicates,
        on_common_seeds(replicates),
        are_simulations_of_measured(replicates),
        strict=True,
    )
    found = []
    for position, (label, info, group, compared, repeats_measurement) in enumerate(columns):
        by_seed = {each.seed: summary_of(each) for each in compared}
        summary = central(list(by_seed.values()))
        found.append(Contender(position, label, info, group, compared, by_seed, summary, repeats_measurement))
    return found


def labels_of(infos: Sequence[RunInfo]) -> list[str]:
    """A label for each run: its policy; with its kind if the kinds differ; with a number if labels are still equal."""
    labels = [info.label for info in infos]
    if len({info.kind for info in infos}) > 1:
        labels = [f"{info.label} ({info.kind})" for info in infos]
    if len(set(labels)) < len(labels):
        labels = [f"{label} #{number}" for number, label in enumerate(labels, 1)]
    return labels


def central(summaries: Sequence[Summary]) -> Summary:
    """One summary for several seeds, by which runs are ranked.

    Goodput, throughput and mean E2E are geometric means, because factors are: so the run that is ranked first has no
    factor below 1 in the figure that decides. If a value is 0, the mean is arithmetic.
    """
    found = averaged(summaries)
    goodput, throughput, e2e = (_central(figure, found, summaries) for figure in (GOODPUT, THROUGHPUT, MEAN_E2E))
    return msgspec.structs.replace(
        found,
        goodput_req_s=goodput or 0.0,
        total_tok_s=throughput or 0.0,
        e2e_s=msgspec.structs.replace(found.e2e_s, mean=e2e),
    )


def _central(figure: Figure, mean: Summary, summaries: Sequence[Summary]) -> float | None:
    values = [figure.of(each) or 0.0 for each in summaries]
    return geometric_mean(values) if min(values) > 0 else figure.of(mean)
