"""A page of each kind, made of small simulated runs and gates with figures of our choosing."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
from support.experiments import experiment
from support.gate_results import exact, gate, timed
from support.prefixes import blocks_of

from warpgroup.csrc import parse_policy
from warpgroup.records import Run
from warpgroup.records.metrics import Summary, summary_of
from warpgroup.records.sweep import PolicySweep, RatePoint, Sweep
from warpgroup.reports import validate, write_report, write_validation
from warpgroup.reports.gate.outputs.page import write_gate_page
from warpgroup.reports.gate.result import Check, GateResult, Outcome
from warpgroup.reports.judging.study import Study
from warpgroup.reports.trace.page import write_trace_page
from warpgroup.sim import simulate
from warpgroup.workloads import Trace, load_model
from warpgroup.workloads.trace.turns import Turns

MARKUP = "</script><img src=x onerror=window.hit=1>"
POLICIES = ("count-static(n=40)", "paged", "ffd")
FOLDED = "sarathi"
"""It comes in behind, so that its panels are folded away."""
HOSTILE = f"</text></svg>{MARKUP}\"'&amp;<!--<script>window.hit=1</script>"


def small_run(policy: str, *, seed: int = 0, step_ns: int = 0) -> Run:
    rows = [(i * (2_000_000 + 100_000 * seed), 20 + i % 90, 1 + i % 37) for i in range(60)]
    chosen = {"step_time": lambda work: step_ns} if step_ns else {}
    command = f"warpgroup compare --trace rows.csv --policies {policy} " + "--set key=value " * 20
    run = simulate(experiment(rows, kv_blocks=40), parse_policy(policy), command=command, note="as given", **chosen)
    return changed(run, seed=seed)


def changed(run: Run, **facts) -> Run:
    return Run(msgspec.structs.replace(run.info, **facts), run.requests, run.steps, run.events)


def hostile(run: Run) -> Run:
    """The same run with markup wherever a user's text may come from."""
    scenario = msgspec.structs.replace(
        run.info.scenario,
        name=HOSTILE,
        trace=msgspec.structs.replace(
            run.info.scenario.trace, name=HOSTILE, file=HOSTILE, arrivals=HOSTILE, dropped={HOSTILE: 1}
        ),
        model=HOSTILE,
        device=HOSTILE,
        step_time=HOSTILE,
    )
    texts = {"command": HOSTILE, "note": HOSTILE, "versions": {HOSTILE: HOSTILE}}
    return changed(run, policy=f"{run.info.policy} {MARKUP}", scenario=scenario, **texts)


def study(like: Callable[[Run], Run] = lambda run: run) -> Study:
    """Four policies on three seeds, an ablation and a sweep of three; each run changed by `like`."""
    groups = [[like(small_run(policy, seed=seed)) for seed in range(3)] for policy in (*POLICIES, FOLDED)]
    runs = [group[0] for group in groups]
    switches = ("baseline", "padding removed", "memory-aware")
    return Study.of(
        runs=runs,
        replicates=[[run.info for run in group] for group in groups],
        ablation=[changed(run, switch=switch) for run, switch in zip(runs, switches, strict=False)],
        sweeps=[sweep(runs[:3])],
    )


def sweep(runs: Sequence[Run]) -> Sweep:
    """Of a policy that fails above 4 requests/s, one that fails above 2, and one that always does."""

    def points(capacity: float, summary: Summary) -> list[RatePoint]:
        shares = [(rate, 1.0 if rate <= capacity else capacity / rate) for rate in (1.0, 2.0, 4.0, 8.0)]
        return [RatePoint(rate, share, [share, share], summary) for rate, share in shares]

    policies = [
        PolicySweep(
            run.info.policy, False, capacity or None, 2 * capacity or 1.0, points(capacity, summary_of(run.info)), []
        )
        for run, capacity in zip(runs, (4.0, 2.0, 0.0), strict=True)
    ]
    info = runs[0].info
    return Sweep(info.scenario, [1.0, 2.0, 4.0, 8.0], [0, 1], 0.99, False, policies, info.versions, info.command)


def gates(name: str = "") -> tuple[GateResult, list[GateResult]]:
    """A gate in which each outcome occurs, with three earlier ones; the name, if any, is added to every text."""
    benchmark = f"tests/benchmarks/bench_packing.py::test_ffd[ten thousand] {name}"

    def replay(value: float, day: int):
        point = Check("trend", f"chat: ffd {name}", f"TTFT mean, s {name}", Outcome.REPORTED, head=value)
        checks = (point, exact(Outcome.PASSED, benchmark, head=day))
        return gate(
            *checks, date=f"2026-11-{day:02}T08:00:00Z", head=f"c{day} {name}", machine={"device": name or "H100"}
        )

    past = [replay(value, day) for day, value in enumerate((2.0, 2.1, 3.4), 1)]
    latest = gate(
        exact(Outcome.CHANGED, benchmark, head=6, change=0.2, detail=f"accept it with a reason {name}"),
        *(timed(outcome, f"{benchmark} {outcome}", detail=name) for outcome in Outcome),
        *(exact(Outcome.PASSED, f"scenario {i} {name}") for i in range(20)),
        Check("trend", f"chat: ffd {name}", "TTFT mean, s", Outcome.REPORTED, base=2.05, head=3.4),
        notes=[f"the load was high {name}"],
        machine={f"cpu {name}": f"two cores {name}"},
    )
    return latest, [*past, latest]


def _compared(path: Path) -> None:
    write_report(study(), path)


def _single(path: Path) -> None:
    run = small_run("ffd")
    write_report(Study.of([run], [[run.info]], [], []), path)


def _swept(path: Path) -> None:
    write_report(Study.of([], [], [], [sweep([small_run(policy) for policy in POLICIES])]), path)


def _validated(path: Path) -> None:
    runs = small_run("paged", step_ns=10**7), small_run("paged", step_ns=13 * 10**6)
    write_validation([validate(*runs)], path)


def _gated(path: Path) -> None:
    write_gate_page(*gates(), path)


def _hostile_comparison(path: Path) -> None:
    write_report(study(hostile), path)


def _hostile_validation(path: Path) -> None:
    run = hostile(small_run("paged", step_ns=10**7))
    write_validation([validate(run, run)], path)


def _hostile_gate(path: Path) -> None:
    write_gate_page(*gates(HOSTILE), path)


def _inspected(path: Path) -> None:
    rows = [(i * i * 10**7, 20 + i * 97 % 9000, 1 + i % 37) for i in range(200)]
    i = np.arange(len(rows))
    blocks = blocks_of(512, [[each % 3] * (row[1] // 512 + 1) for each, row in enumerate(rows)])
    turns = Turns(i // 4, np.where(i % 4, i - 1, -1), np.full(len(rows), -1))
    trace = replace(Trace.of_rows(rows, max_new_tokens=50, name="r" * 120), turns=turns, prefix=blocks)
    reasons = {"repaired": {"output_clipped": 7}, "examples": {"output_clipped": "row 3: " + "9" * 90}}
    source = msgspec.structs.replace(trace.source, **reasons)
    write_trace_page(replace(trace, source=source), path, load_model("llama-2-7b"))


PAGES = {
    "comparison": _compared,
    "single": _single,
    "sweep": _swept,
    "validation": _validated,
    "gate": _gated,
    "trace": _inspected,
    "hostile comparison": _hostile_comparison,
    "hostile validation": _hostile_validation,
    "hostile gate": _hostile_gate,
}
"""What writes each page, by its name."""
