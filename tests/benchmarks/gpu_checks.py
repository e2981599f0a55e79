"""Checks what must hold on a GPU and cannot be tested on a CPU. Needs a GPU and flash-attn.

    python tests/benchmarks/gpu_checks.py FILE.json [CHECK ...]

Each check prints and records its figures. Exit code 1: a check failed.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from torch.nn.functional import scaled_dot_product_attention

from warpgroup.csrc import parse_policy
from warpgroup.experiment import Limits, build_experiment
from warpgroup.runtime import Replay, ReplayOptions, choose_attention, open_machine, open_session
from warpgroup.runtime.attention.flash import varlen
from warpgroup.runtime.attention.paged import PagedAttention
from warpgroup.runtime.attention.prompts import PromptAttention
from warpgroup.runtime.attention.sdpa import SdpaAttention
from warpgroup.runtime.step.batch import Fresh
from warpgroup.runtime.step.inputs import Layout, PrefillChunk, Shape, StepLengths
from warpgroup.workloads import Trace, load_model

QUERY_HEADS, KV_HEADS, DIM = 28, 4, 128  # Qwen2.5-7B


def milliseconds(work: Callable[[], Any], repeats: int = 5) -> float:
    """Median, by CUDA events, after one call to warm up."""
    work()
    found = []
    for _ in range(repeats):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        work()
        end.record()
        torch.cuda.synchronize()
        found.append(start.elapsed_time(end))
    return sorted(found)[repeats // 2]


def check_paged() -> dict:
    """Our paged kernels against float32 SDPA; repeated runs must be equal, since partial results join in one order."""
    rng, worst = np.random.default_rng(0), 0.0
    blocks = 4000
    pool = torch.randn(blocks, 2, KV_HEADS, 16, DIM, dtype=torch.bfloat16, device="cuda")
    cache = tuple(pool.permute(1, 0, 3, 2, 4))
    for trial in range(12):
        lengths = rng.integers(1, 6000, size=rng.integers(1, 60))
        chunks = [
            PrefillChunk(int(rng.integers(1, 3000)), int(rng.integers(1, 200))) for _ in range(rng.integers(1, 4))
        ]
        tokens = sum(chunk.tokens for chunk in chunks)
        shape = Shape(len(lengths), len(chunks), tokens, 0, 0, 1, 400)
        attention = PagedAttention(torch.cuda.get_device_properties(0).multi_processor_count, KV_HEADS)
        layout = Layout.of(shape, attention.arrays(shape))
        slab = torch.zeros(layout.size, dtype=torch.int32)
        arrays = layout.arrays(slab.numpy())
        arrays["lengths"][:] = lengths
        for name in ("blocks", "chunk_blocks"):
            arrays[name][:] = rng.integers(0, blocks, len(arrays[name]))
        arrays["chunk_edges"][:] = np.cumsum([0, *(chunk.tokens for chunk in chunks)])
        arrays["cache_edges"][:] = np.cumsum([0, *(chunk.start + chunk.tokens for chunk in chunks)])
        attention.fill(arrays, shape, lengths, chunks)
        batch = layout.batch(
            slab.cuda(), StepLengths(longest_chunk=200, longest_cache=4000, cached=int(arrays["cache_edges"][-1]))
        )
        query = torch.randn(shape.tokens, QUERY_HEADS, DIM, dtype=torch.bfloat16, device="cuda")
        key = torch.zeros(shape.tokens, KV_HEADS, DIM, device="cuda")
        out, expected = torch.full_like(query, float("nan")), torch.zeros_like(query, dtype=torch.float32)
        attention.attend(query, key, key, cache, batch, out)
        reference = SdpaAttention()
        reference.begin(batch)
        reference.attend(query.float(), key, key, tuple(each.float() for each in cache), batch, expected)
        worst = max(worst, float((out.float() - expected).norm() / expected.norm()))
        assert worst < 0.005, f"trial {trial}: relative error {worst}"
        for _ in range(20):
            again = torch.full_like(query, float("nan"))
            attention.attend(query, key, key, cache, batch, again)
            assert torch.equal(again, out), f"trial {trial}: two runs differ"
    return {"largest_relative_error": worst, "repeated_runs_equal": 240}


def check_prompts() -> dict:
    """Prompts with the long ones on cuDNN and the others on FlashAttention-2, against FlashAttention-2 alone."""
    rng, worst = np.random.default_rng(0), 0.0
    for lengths in (
        [300] * 8,
        [4096],
        [4097],
        [100, 900, 4095, 4608, 5121],
        sorted(rng.integers(50, 9000, 6).tolist()),
    ):
        heads = torch.randn(sum(lengths), QUERY_HEADS + 2 * KV_HEADS, DIM, dtype=torch.bfloat16, device="cuda")
        query, key, value = heads.split((QUERY_HEADS, KV_HEADS, KV_HEADS), dim=1)
        edges = torch.tensor(np.cumsum([0, *lengths]), dtype=torch.int32, device="cuda")
        out, expected = torch.full_like(query, float("nan")), torch.full_like(query, float("nan"))
        PromptAttention(cudnn=True).attend(query, key, value, Fresh(edges, tuple(lengths)), out)
        PromptAttention(cudnn=False).attend(query, key, value, Fresh(edges, tuple(lengths)), expected)
        worst = max(worst, float((out.float() - expected.float()).norm() / expected.float().norm()))
        assert worst < 0.005, f"prompts of {lengths} tokens: relative error {worst}"
    return {"largest_relative_error": worst}


def check_tokens() -> dict:
    """Greedy tokens of a float32 model: eviction by recomputing and by swapping must not change them."""
    machine, spec = open_machine("auto"), load_model("tiny")
    slow = msgspec.structs.replace(
        machine.spec, bf16_flops=10**9
    )  # so slow that swapping is always faster than recomputing
    rng = np.random.default_rng(0)
    rows = [(0, int(rng.integers(20, 200)), int(rng.integers(20, 60))) for _ in range(14)]
    trace = Trace.of_rows(rows, max_new_tokens=64)
    found: dict[str, list] = {}
    counts = {}
    for name, policy, blocks in (("ample", "paged", 400), ("recompute", "paged", 40), ("swap", "skyline(eager=1)", 40)):
        limits = Limits(kv_blocks=blocks, block_tokens=16, max_seqs=16, step_tokens=64)
        session = open_session(
            build_experiment(trace, spec, slow, limits=limits),
            [parse_policy(policy)],
            machine,
            attention=choose_attention("sdpa", machine, spec),
        )
        with session.monitor() as monitor:
            replay = Replay(
                session.experiment, parse_policy(policy), session.engine, monitor, fixed_bytes=session.fixed_bytes,
                options=ReplayOptions(),
            )  # fmt: skip
            run = replay.run()
        found[name] = [replay.executor.log.output(i, row[2]).tolist() for i, row in enumerate(rows)]
        counts[name] = (run.info.summary["preemptions"], int(run.steps["swap_bytes"].sum()))
        session.close()
    assert counts["recompute"][0] > 0, counts
    assert counts["swap"][1] > 0, counts
    assert found["ample"] == found["recompute"] == found["swap"]
    return {"requests": len(rows), "evictions_and_swapped_bytes": counts, "tokens_equal": True}


def check_crossover() -> dict:
    """Time to restore an evicted KV cache of Qwen2.5-7B: two copies over the host link, or recomputing."""
    machine, spec = open_machine("auto"), load_model("qwen2.5-7b")
    lengths = (64, 256, 1024, 4096, 8192)
    trace = Trace.of_rows([(0, length, 2) for length in lengths], max_new_tokens=2)
    limits = Limits(kv_budget_tokens=40_000, step_tokens=8192, max_seqs=8)
    session = open_session(
        build_experiment(trace, spec, machine.spec, limits=limits), [parse_policy("paged")], machine, graphs=False
    )
    engine, block_manager, found = session.engine, session.engine.pool.block_manager, {}
    engine.pool.resize(2000)
    engine.pool.open_host(1 << 30)
    for request, length in enumerate(lengths):
        recompute = milliseconds(lambda tokens=length: engine.warm_up(tokens))

        def swap(request: int = request, length: int = length) -> None:
            engine.pool.copy_out(block_manager.swap_out(request, length))
            engine.pool.copy_in(block_manager.swap_in(request))

        block_manager.hold(request, 0, length)
        found[length] = {"swap_ms": round(milliseconds(swap), 3), "recompute_ms": round(recompute, 3)}
        block_manager.release(request)
    session.close()
    return found


def check_workspace() -> dict:
    """Memory of prefill attention besides its inputs, by length: FlashAttention-2, and attention with stored scores."""
    torch.cuda.set_per_process_memory_fraction(1.0)  # an earlier check's engine had set its own
    found = {}
    for tokens in (2048, 4096, 8192, 16_384, 32_768, 65_536, 131_072):
        query = torch.randn(tokens, QUERY_HEADS, DIM, dtype=torch.bfloat16, device="cuda")
        key = torch.randn(tokens, KV_HEADS, DIM, dtype=torch.bfloat16, device="cuda")
        edges = torch.tensor([0, tokens], dtype=torch.int32, device="cuda")

        def flash(q=query, k=key, e=edges, n=tokens) -> None:
            varlen(q, k, k, torch.empty_like(q), (e, e), (n, n), None)

        def quadratic(q=query, k=key) -> None:
            keys = k.transpose(0, 1).repeat_interleave(QUERY_HEADS // KV_HEADS, 0)
            scores = (q.transpose(0, 1) @ keys.transpose(1, 2)).softmax(-1)
            scores @ keys

        row = {"flash_mib": round(peak_mib(flash), 1), "flash_ms": round(milliseconds(flash, 3), 3)}
        if tokens <= 16_384:
            row["quadratic_mib"] = round(peak_mib(quadratic), 1)
        found[tokens] = row
    return found


def peak_mib(work: Callable[[], None]) -> float:
    work()
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    work()
    torch.cuda.synchronize()
    return (torch.cuda.max_memory_allocated() - before) / 2**20


def check_cudnn() -> dict:
    """Prefill attention of one prompt: cuDNN through torch against FlashAttention-2, milliseconds."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    found = {}
    for tokens in (2048, 8192, 32_768):
        query = torch.randn(1, QUERY_HEADS, tokens, DIM, dtype=torch.bfloat16, device="cuda")
        key = torch.randn(1, KV_HEADS, tokens, DIM, dtype=torch.bfloat16, device="cuda")
        packed = query[0].transpose(0, 1).contiguous(), key[0].transpose(0, 1).contiguous()
        edges = torch.tensor([0, tokens], dtype=torch.int32, device="cuda")

        def cudnn(q=query, k=key) -> None:
            with sdpa_kernel(SDPBackend.CUDNN_ATTENTION):
                scaled_dot_product_attention(q, k, k, is_causal=True, enable_gqa=True)

        def flash(p=packed, e=edges, n=tokens) -> None:
            varlen(p[0], p[1], p[1], torch.empty_like(p[0]), (e, e), (n, n), None)

        found[tokens] = {"flash_ms": round(milliseconds(flash), 3), "cudnn_ms": round(milliseconds(cudnn), 3)}
    return found


TAKER = """
import sys, time, torch
held = torch.empty(int(sys.argv[1]), dtype=torch.uint8, device="cuda")
torch.cuda.synchronize()
time.sleep(float(sys.argv[2]))
"""


def check_second_process() -> dict:
    """Another process takes 30 % of the memory during a run and returns it: the budget follows, no request is lost."""
    machine, spec = open_machine("auto"), load_model("qwen2.5-7b")
    trace = Trace.of_rows([(0, 600, 500)] * 400, max_new_tokens=1000)
    experiment = build_experiment(trace, spec, machine.spec, limits=Limits(max_seqs=128, step_tokens=8192))
    policy = parse_policy("skyline")
    session = open_session(experiment, [policy], machine)
    share = str(int(0.3 * machine.spec.memory_bytes))
    began = time.time()
    with session.monitor() as monitor, subprocess.Popen([sys.executable, "-c", TAKER, share, "4"]) as taker:
        replay = Replay(
            session.experiment,
            policy,
            session.engine,
            monitor,
            fixed_bytes=session.fixed_bytes,
            options=ReplayOptions(),
        )
        run = replay.run()
        taker.wait()
    budgets = run.steps["vram_budget_bytes"]
    session.close()
    summary = run.info.summary
    assert taker.returncode == 0, "the other process did not get its memory"
    assert summary["finished"] == 400, summary["finished"]
    assert budgets.min() < budgets.max(), "the budget never moved"
    return {
        "finished": summary["finished"],
        "ooms": summary["ooms"],
        "seconds": round(time.time() - began, 1),
        "budget_gib": [round(float(each) / 2**30, 1) for each in (budgets[0], budgets.min(), budgets[-1])],
    }


CHECKS = {
    "paged": check_paged,
    "prompts": check_prompts,
    "tokens": check_tokens,
    "crossover": check_crossover,
    "workspace": check_workspace,
    "cudnn": check_cudnn,
    "second-process": check_second_process,
}


def main() -> None:
    path, wanted = Path(sys.argv[1]), sys.argv[2:] or list(CHECKS)
    open_machine("auto")
    found = json.loads(path.read_text()) if path.exists() else {}
    failed = False
    for name in wanted:
        began = time.time()
        try:
            found[name] = CHECKS[name]()
        except Exception as error:
            found[name], failed = f"{type(error).__name__}: {error}", True
        print(f"{name} ({time.time() - began:.1f} s): {json.dumps(found[name])}", flush=True)
        path.write_text(json.dumps(found, indent=1) + "\n")
    sys.exit(failed)


if __name__ == "__main__":
    main()
