"""Sweeps for tests: literal points, and little experiments with a capacity in the middle of a grid."""

import random
from collections.abc import Sequence
from pathlib import Path

from support.experiments import TINY_DEVICE, TINY_MODEL, trace

from warpgroup.csrc import parse_policies
from warpgroup.experiment import Limits, Slo, build_experiment
from warpgroup.records.metrics import Spread, Summary
from warpgroup.records.sweep import RatePoint, Sweep
from warpgroup.sim import as_step_time
from warpgroup.sim.sweep.journal import Journal
from warpgroup.sim.sweep.search import Question
from warpgroup.sim.sweep.sweep import searches_of, sweep
from warpgroup.sim.sweep.trials import Job, Record, Setting
from warpgroup.sim.sweep.workers import Engine

RATES = [float(rate) for rate in range(10, 101, 10)]
POLICIES = "count-continuous,paged,skyline"
SLO = Slo(ttft_s=0.2, tpot_s=0.05)


def point(
    rate: float, attainment: float, *, tokens_s: float = 100.0, ttft_s: float | None = 1.0, ooms: int = 0
) -> RatePoint:
    spread = Spread(ttft_s, ttft_s, ttft_s, ttft_s)
    zeros = dict.fromkeys(Summary.__struct_fields__, 0)
    spreads = dict.fromkeys(("ttft_s", "tpot_s", "e2e_s", "itl_s", "wait_s"), spread)
    told = {"policy": "any", "slo": "any", "requests": 100, "total_tok_s": tokens_s, "ooms": ooms}
    return RatePoint(rate, attainment, [attainment, attainment], Summary(**zeros | spreads | told))


def setting(*, seeds: int = 2, slo: Slo = SLO, **limits: float) -> Setting:
    """Sixty requests on the tiny model; its policies can take 40 to 50 of them per second under `SLO`."""
    rows = [(0, 20 + i * 37 % 190, 1 + i * 53 % 97) for i in range(60)]
    limits = {"kv_blocks": 40} | limits
    made = {
        seed: build_experiment(trace(rows), TINY_MODEL, TINY_DEVICE, limits=Limits(**limits), slo=slo, seed=seed)
        for seed in range(seeds)
    }
    return Setting(made, as_step_time(None, made[0]))


class InProcess:
    """An engine without processes: jobs end in an order drawn at random, and after some of them comes Ctrl-C."""

    def __init__(self, setting: Setting, *, slots: int = 1, seed: int = 0, stop_after: int | None = None) -> None:
        self.slots = slots
        self.made: list[Job] = []
        self._setting = setting
        self._draw = random.Random(seed)
        self._stop_after = stop_after
        self._running: list[Job] = []

    def submit(self, job: Job) -> None:
        self._running.append(job)
        assert len(self._running) <= self.slots

    def results(self) -> list[Record]:
        if len(self.made) == self._stop_after:
            raise KeyboardInterrupt
        job = self._running.pop(self._draw.randrange(len(self._running)))
        self.made.append(job)
        return [job.run(self._setting)]


def swept(
    folder: Path,
    made: Setting,
    engine: Engine,
    *,
    policies: str = POLICIES,
    rates: Sequence[float] = RATES,
    every_rate: bool = False,
) -> Sweep:
    """What the folder's journal does not have is simulated."""
    folder.mkdir(exist_ok=True)
    question, journal = Question(list(rates), every_rate=every_rate), Journal.read(folder)
    searches = searches_of(parse_policies(policies), made, question, journal.records)
    return sweep(searches, made, question, journal, engine, command="warpgroup sweep")
