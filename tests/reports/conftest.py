"""Runs with figures of our choosing, and real little runs."""

import msgspec
import pytest
from support.experiments import experiment

from warpgroup.csrc import parse_policy
from warpgroup.records import Run, RunInfo
from warpgroup.records.metrics import Spread
from warpgroup.sim import simulate


def little_run(policy: str, *, blocks: int = 40, note: str = "") -> Run:
    rows = [(i * 2_000_000, 20 + i % 90, 1 + i % 37) for i in range(80)]
    return simulate(experiment(rows, kv_blocks=blocks), parse_policy(policy), note=note, command="warpgroup compare")


@pytest.fixture(scope="session")
def runs() -> list[Run]:
    policies = ("count-static(n=2)", "count-static(n=40)", "count-continuous(n=3)", "paged", "ffd")
    return [little_run(policy) for policy in policies]


@pytest.fixture(scope="session")
def info_with(runs):
    """Builds a RunInfo of a policy with some figures of its summary changed."""

    def build(
        policy: str, *, complete: bool = True, kind: str = "simulated", device: str = "", seed: int = 0, **figures
    ) -> RunInfo:
        mean = figures.pop("e2e", 5.0)
        info = runs[3].info
        summary = info.summary | {
            "policy": policy,
            "ooms": 0,
            "memory_bound_share": 0.5,
            "goodput_req_s": 1.0,
            "attainment": 1.0,
            "total_tok_s": 1000.0,
            "e2e_s": msgspec.to_builtins(Spread(mean, mean, mean, 2 * mean)),
            **figures,
        }
        scenario = msgspec.structs.replace(info.scenario, device=device or info.scenario.device)
        return msgspec.structs.replace(
            info, policy=policy, complete=complete, kind=kind, summary=summary, scenario=scenario, seed=seed
        )

    return build
