"""Replays the request sets on a GPU, and simulates each replay beside it. Needs a GPU and flash-attn.

    python tests/benchmarks/gpu_replays.py --sets DIR --out DIR [--runs DIR] [--only NAME,...] [--seconds N]

The --sets folder holds chat.json, growth.json and so on: lists of [prompt, output] in tokens. Each replay writes
NAME/POLICY.json (its run.json) and a row of replays.csv into the --out folder; a replay that is there is not repeated.
--runs keeps whole runs. reports/results/h200/ is one such --out folder.
"""

import argparse
import csv
import json
import os
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from warpgroup.csrc import parse_policy
from warpgroup.experiment import Limits, build_experiment
from warpgroup.records import write_run
from warpgroup.runtime import Replay, ReplayOptions, choose_attention, open_machine, open_session
from warpgroup.sim import simulate
from warpgroup.workloads import Trace, load_model, with_arrivals

# With up to 48 decode rows, a chunk of 208 keeps a step within 256 tokens, where the matrix products need a tile less.
EAGER = "skyline(eager=1,chunk=208)"
TABLE = ("count-static(n=16)", "count-continuous(n=16)", "paged", "ffd", "skyline", EAGER)


@dataclass(frozen=True)
class Case:
    """One request set under some policies."""

    name: str
    rows: str  # name of the set, or PROMPTxCOUNT
    policies: tuple[str, ...]
    max_new_tokens: int
    kv_budget_tokens: int = 0
    step_tokens: int = 16_384
    first: int = 10**9
    outputs: int = 0  # replaces the output lengths of the set; 0: as in the set
    attention: str = "auto"
    arrivals: str = "at-zero"
    model: str = "qwen2.5-7b"


VALIDATED = ("paged", "ffd", "skyline", "count-static(n=128)")
BOTH = ("paged", "skyline")
CAPACITY = 28.1  # requests of chat a second: 1,500 in 53.3 s

CASES = [
    Case("growth", "growth", (EAGER,), 4096, 42_048, 8192),
    Case("reason", "reason", ("skyline(eager=1,chunk=208,order=2)",), 32_768, 110_416, 8192),
    Case("long100", "long100", ("skyline(eager=1,chunk=0)",), 2000, 110_416, 8192),
    Case("chat", "chat", ("paged",), 1000),
    Case("sharegpt", "sharegpt", ("paged",), 2048),
    Case("long", "long", ("paged",), 2000),
    # Contexts of 1,024 tokens on average; long enough for the card to leave the power limit of the prefill.
    Case("decode-32", "896x32", ("paged",), 256, 60_000, 16_384, 32, 256),
    Case("decode-256", "896x256", ("paged",), 256, 400_000, 16_384, 256, 256),
    Case("decode-32-flash", "896x32", ("paged",), 256, 60_000, 16_384, 32, 256, "flash"),
    Case("decode-256-flash", "896x256", ("paged",), 256, 400_000, 16_384, 256, 256, "flash"),
    Case(
        "prefill-192",
        "chat",
        ("ffd-static", "paged", "count-static(n=8)", "count-static(n=32)"),
        1,
        first=192,
        outputs=1,
    ),
    Case("chat-300", "chat", TABLE, 1000, 42_048, 8192, 300),
    Case("growth-60", "growth", TABLE, 4096, 42_048, 8192, 60),
    # Simulations are validated against these and the cases above.
    Case("chat-400", "chat", VALIDATED, 1000, first=400),
    Case("sharegpt-400", "sharegpt", VALIDATED, 2048, first=400),
    Case("growth-300", "growth", ("paged", "skyline", "ffd", "count-static(n=16)"), 4096, 42_048, 8192),
    Case("long-200", "long", VALIDATED, 2000),
    Case("open-0.7", "chat", BOTH, 1000, first=700, arrivals=f"poisson:{0.7 * CAPACITY:.2f}"),
    Case("open-1.3", "chat", BOTH, 1000, first=700, arrivals=f"poisson:{1.3 * CAPACITY:.2f}"),
    # Closed loops: each user waits for the answer, and in the second case for one more second.
    Case("loop-chat", "chat", ("count-continuous(n=16)", *BOTH), 1000, 42_048, 8192, 300, arrivals="users:48"),
    Case("loop-growth", "growth", BOTH, 4096, 42_048, 8192, 100, arrivals="users:40:1"),
    Case("llama-chat", "chat", BOTH, 1000, first=300, model="llama-3.1-8b"),
    Case("llama-growth", "growth", BOTH, 4096, 42_048, 8192, model="llama-3.1-8b"),
    Case("oom", "growth", ("count-static(n=40)",), 4096, 42_048, 8192, 40),
]


def requests(case: Case, sets: Path) -> Trace:
    prompt, times, count = case.rows.partition("x")
    rows = [[int(prompt), 0]] * int(count) if times else json.loads((sets / f"{case.rows}.json").read_text())
    rows = rows[: case.first]
    trace = Trace.of_rows(
        [(0, max(p, 1), case.outputs or min(max(o, 1), case.max_new_tokens)) for p, o in rows],
        max_new_tokens=case.max_new_tokens,
        name=case.name,
    )
    return with_arrivals(trace, case.arrivals, seed=0)


def row_of(case: Case, info, steps, simulated) -> dict:
    s, machine = info.summary, info.machine
    decoding = (steps["prefill_tokens"] == 0) & (steps["decode_rows"] > 0)
    durations = steps["duration_ns"][decoding] / 1e6
    fixed = machine.fixed_bytes - info.scenario.memory.weight_bytes
    return {
        "case": case.name,
        "policy": info.policy,
        "attention": machine.attention,
        "wall_s": round(s["makespan_s"], 2),
        "total_tok_s": round(s["total_tok_s"]),
        "output_tok_s": round(s["output_tok_s"]),
        "finished": s["finished"],
        "failed": s["failed"],
        "ooms": s["ooms"],
        "preemptions": s["preemptions"],
        "recompute_tax": round(s["recompute_tax"], 4),
        "running_mean": round(s["running_mean"], 1),
        "mean_kv_use": round(s["mean_kv_use"], 3),
        "steps": int(steps["steps"].sum()),
        "decode_step_ms": round(float(np.median(durations)), 3) if len(durations) else None,
        "busy_share": round(machine.busy_share, 4),
        "host_gap_ms": round(machine.host_gap_s * 1e3, 4),
        "peak_gib_predicted": round(machine.predicted_peak_bytes / 2**30, 3),
        "peak_gib_measured": round(machine.measured_peak_bytes / 2**30, 3),
        "other_mib_predicted": round((machine.predicted_temporary_bytes + fixed) / 2**20),
        "other_mib_measured": round((machine.measured_temporary_bytes + fixed) / 2**20),
        "simulated_wall_s": round(simulated["makespan_s"], 2) if simulated else None,
        "simulated_ooms": simulated["ooms"] if simulated else None,
        "simulated_preemptions": simulated["preemptions"] if simulated else None,
    }


def run(case: Case, given: argparse.Namespace, machine, deadline: float) -> Iterator[dict]:
    policies = [parse_policy(text) for text in case.policies]
    policies = [each for each in policies if not (given.out / case.name / f"{each.slug}.json").exists()]
    if not policies:
        return
    spec = load_model(case.model)
    attention = choose_attention(case.attention, machine, spec)
    limits = Limits(
        kv_budget_tokens=case.kv_budget_tokens,
        block_tokens=attention.block_multiple,
        step_tokens=case.step_tokens,
        max_seqs=1024,
    )
    experiment = build_experiment(
        requests(case, given.sets), spec, machine.spec, limits=limits, name=case.name, arrivals=case.arrivals
    )
    began = time.time()
    session = open_session(experiment, policies, machine, attention=attention)
    print(f"{case.name}: opened in {time.time() - began:.1f} s, {len(session.engine.graphs)} graphs", flush=True)
    for policy in policies:
        if time.time() > deadline:
            print(f"{case.name} {policy}: no time left", flush=True)
            continue
        options = ReplayOptions(command=f"python tests/benchmarks/gpu_replays.py --only {case.name}")
        with session.monitor() as monitor:
            replay = Replay(
                session.experiment, policy, session.engine, monitor, fixed_bytes=session.fixed_bytes, options=options
            )
            try:
                real = replay.run()
            except Exception:
                traceback.print_exc()  # the other replays must still run
                continue
        session.engine.pool.clear()
        predicted = simulate(session.experiment, policy).info.summary
        if given.runs:
            write_run(given.runs / case.name / policy.slug, real)
        folder = given.out / case.name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{policy.slug}.json").write_bytes(msgspec.json.format(msgspec.json.encode(real.info), indent=1))
        yield row_of(case, real.info, real.steps, predicted)
    session.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--runs", type=Path)
    parser.add_argument("--only", default="")
    parser.add_argument("--seconds", type=float, default=1e9, help="no replay starts after this time")
    given = parser.parse_args()
    deadline = time.time() + given.seconds
    wanted = given.only.split(",") if given.only else [case.name for case in CASES]
    machine, table = open_machine("auto"), given.out / "replays.csv"
    found = list(csv.DictReader(table.open())) if table.exists() else []
    for case in sorted((case for case in CASES if case.name in wanted), key=lambda case: wanted.index(case.name)):
        for row in run(case, given, machine, deadline):
            print(json.dumps(row), flush=True)
            found.append(row)
            with table.open("w", newline="") as file:
                writer = csv.DictWriter(file, fieldnames=list(row))
                writer.writeheader()
                writer.writerows(found)
    os._exit(0)  # skips the driver's teardown of captured graphs, which takes seconds


if __name__ == "__main__":
    main()
