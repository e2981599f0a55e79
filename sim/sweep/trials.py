"""One simulation of a sweep: what decides it, and what is kept of it."""

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
from ..step_time.roofline import StepTime
from .capacity import rate_text


class Trial(msgspec.Struct, frozen=True, tag="trial", tag_field="kind"):
    """One policy at one rate on one seed. `kept`: requests that kept the SLO, of all. `key` names what decided it."""

    policy: str
    rate: float
    seed: int
    key: str
    kept: int
    summary: Summary


class FoundCount(msgspec.Struct, frozen=True, tag="count", tag_field="kind"):
    """The best safe count of a policy that was given none, as searched at one rate on one seed."""

    policy: str
    rate: float
    seed: int
    key: str
    n: int
    note: str


Record = Trial | FoundCount


@cache
def version_here() -> tuple[str, str]:
    """Of the package and its core, which decide a simulation too."""
    here = versions()
    return here["warpgroup"], here.get("commit", "")


@dataclass(frozen=True, slots=True)
class Setting:
    """What all simulations of a sweep share.

    Attributes:
        experiments: one a seed; when requests arrive is not looked at.
    """

    experiments: Mapping[int, Experiment]
    step_time: StepTime

    def experiment(self, rate: float, seed: int) -> Experiment:
        """A Poisson stream of so many requests a second, over the lengths of that seed. Where requests wait for each
        other conversations are streamed, fewer by as many as each has.
        """
        given = self.experiments[seed]
        arrivals = f"poisson:{rate_text(rate * len(starts_ns(given.trace)) / len(given.trace))}"
        return replace(given, trace=with_arrivals(given.trace, arrivals, seed), arrivals=arrivals, rate_scale=1.0)

    def key(self, kind: str, policy: PolicySpec, rate: float, seed: int) -> str:
        """A name for everything that decides one simulation."""
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

    def run(self, setting: Setting) -> Trial:
        """Raises KeyboardInterrupt, on Ctrl-C: half a trial is none."""
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

    def run(self, setting: Setting) -> FoundCount:
        """Raises KeyboardInterrupt, on Ctrl-C."""
        best = best_safe_count(setting.experiment(self.rate, self.seed), self.policy, step_time=setting.step_time)
        note = f"{best}, at {rate_text(self.rate)} requests/s and on seed {self.seed} alone"
        return FoundCount(str(self.policy), self.rate, self.seed, self.key, best.n, note)


Job = TrialJob | CountJob
