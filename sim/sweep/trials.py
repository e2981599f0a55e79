"""One simulation of a sweep: its inputs, and the part of its result that is kept."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache

import msgspec

from ...csrc import PolicySpec
from ...experiment import Experiment
from ...records import versions
from ...records.metrics import Summary, good_mask, summary_of
from ...records.outcome import scenario_info
from ...workloads import starts_ns, with_arrivals
from ..count_search import best_safe_count
from ..simulate import simulate
from ..step_time import StepTime
from .capacity import rate_text


class Trial(msgspec.Struct, frozen=True, tag="trial", tag_field="kind"):
    """The result of one policy at one rate on one seed.

    Attributes:
        rate: in requests per second.
        key: a hash of all inputs of the simulation.
        kept: the number of requests that kept the SLO.
    """

    policy: str
    rate: float
    seed: int
    key: str
    kept: int
    summary: Summary


class FoundCount(msgspec.Struct, frozen=True, tag="count", tag_field="kind"):
    """The best safe count of a policy that was given none, searched at one rate on one seed."""

    policy: str
    rate: float
    seed: int
    key: str
    n: int
    note: str


Record = Trial | FoundCount


@cache
def version_here() -> tuple[str, str]:
    """The versions of the package and of its core, which are inputs of a simulation too."""
    here = versions()
    return here["warpgroup"], here.get("commit", "")


@dataclass(frozen=True, slots=True)
class SweepSetting:
    """What all simulations of a sweep share.

    Attributes:
        experiments: one for each seed; their arrival times are not used.
    """

    experiments: Mapping[int, Experiment]
    step_time: StepTime

    def experiment(self, rate: float, seed: int) -> Experiment:
        """The experiment of a seed with Poisson arrivals at `rate` requests per second.

        If requests wait for earlier ones (conversations), the starts of conversations are the Poisson stream. Its rate
        is lower by the mean number of requests of a conversation.
        """
        given = self.experiments[seed]
        arrivals = f"poisson:{rate_text(rate * len(starts_ns(given.trace)) / len(given.trace))}"
        return replace(given, trace=with_arrivals(given.trace, arrivals, seed), arrivals=arrivals, rate_scale=1.0)

    def key(self, kind: str, policy: PolicySpec, rate: float, seed: int) -> str:
        """A hash of all inputs of one simulation."""
        scenario = scenario_info(self.experiment(rate, seed), self.step_time.description)
        decisive = msgspec.json.encode((kind, version_here(), str(policy), seed, scenario), order="sorted")
        return hashlib.sha256(decisive).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class TrialJob:
    """Simulate one policy at one rate on one seed."""

    policy: PolicySpec
    rate: float
    seed: int
    key: str

    def run(self, setting: SweepSetting) -> Trial:
        """Simulate.

        Raises:
            KeyboardInterrupt: on Ctrl-C, since an incomplete trial has no result.
        """
        run = simulate(setting.experiment(self.rate, self.seed), self.policy, step_time=setting.step_time)
        if not run.info.complete:
            raise KeyboardInterrupt
        summary = summary_of(run.info)
        return Trial(str(self.policy), self.rate, self.seed, self.key, int(good_mask(run).sum()), summary)


@dataclass(frozen=True, slots=True)
class CountJob:
    """Search the best safe count of a policy at one rate on one seed."""

    policy: PolicySpec
    rate: float
    seed: int
    key: str

    def run(self, setting: SweepSetting) -> FoundCount:
        """Search.

        Raises:
            KeyboardInterrupt: on Ctrl-C.
        """
        best = best_safe_count(setting.experiment(self.rate, self.seed), self.policy, step_time=setting.step_time)
        note = f"{best}, at {rate_text(self.rate)} requests/s and on seed {self.seed} only"
        return FoundCount(str(self.policy), self.rate, self.seed, self.key, best.n, note)


Job = TrialJob | CountJob
