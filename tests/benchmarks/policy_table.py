"""Simulates every policy on every scenario, with the real trace of the scenario where the folder has it.

    python tests/benchmarks/policy_table.py [--traces FOLDER] [--policies A,B] [--scenarios A,B] [--out FILE.csv]

A scenario without its trace in FOLDER uses its generated workload; the column `lengths` says which.
"""

import argparse
import multiprocessing
from pathlib import Path

import pandas as pd

from warpgroup.cli.experiments import experiment_from
from warpgroup.cli.options import Options
from warpgroup.csrc import PolicySpec, parse_policies, policy_catalogue
from warpgroup.sim import simulate
from warpgroup.sim.count_search import best_safe_count

REAL = {
    "chat-24": "azure_llm_2023/AzureLLMInferenceTrace_conv.csv.gz",
    "tight-24": "etalon_lengths/sharegpt_8k_filtered_stats_llama2_tokenizer.csv.gz",
    "growth-24": "etalon_lengths/bwb_stats_llama2_tokenizer_filtered_v2.csv.gz",
    "long-24": "mooncake_fast25/conversation_trace.0-2400s.jsonl.gz",
    "reason-24": "",
    "control-141": "nanoflow_lengths/lmsys.rows1-80000.csv.gz",
}


POLICIES = [info.id for info in policy_catalogue()]
POLICIES.insert(POLICIES.index("skyline") + 1, "skyline(eager=1)")


def row(job: tuple[str, Path | None, PolicySpec]) -> dict[str, object]:
    scenario, trace, policy = job
    experiment, _ = experiment_from(Options(scenario=scenario, trace=trace))
    if policy.counts_requests and not policy.fixes_count:
        policy = policy.with_count(best_safe_count(experiment, policy).n)
    s = simulate(experiment, policy).info.summary
    return {
        "scenario": scenario,
        "lengths": "real" if trace else "generated",
        "policy": str(policy),
        "requests": s["requests"],
        "rejected": s["rejected"] + s["failed"],
        "tok_s": round(s["total_tok_s"]),
        "goodput": round(s["goodput_req_s"], 3),
        "e2e_mean_s": round(s["e2e_s"]["mean"], 2),
        "e2e_p99_s": round(s["e2e_s"]["p99"], 1),
        "ttft_p99_s": round(s["ttft_s"]["p99"], 1),
        "ooms": s["ooms"],
        "preempted_%": round(100 * s["preemptions"] / s["requests"], 2),
        "recompute_tax_%": round(100 * s["recompute_tax"], 2),
        "kv_use_%": round(100 * s["mean_kv_use"], 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--traces", type=Path, default=Path(__file__).parents[3] / "shared" / "traces")
    parser.add_argument("--policies", default=",".join(POLICIES))
    parser.add_argument("--scenarios", default=",".join(REAL))
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    jobs = []
    for scenario in arguments.scenarios.split(","):
        real = arguments.traces / REAL.get(scenario, "")
        trace = real if real.is_file() else None
        jobs += [(scenario, trace, policy) for policy in parse_policies(arguments.policies)]
    with multiprocessing.get_context("spawn").Pool() as pool:
        table = pd.DataFrame(pool.map(row, jobs, chunksize=1))
    print(table.to_string(index=False))
    if arguments.out:
        table.to_csv(arguments.out, index=False)


if __name__ == "__main__":
    main()
