"""Measures the ways to bring a step's inputs to the device. Needs a GPU and flash-attn.

    python tests/benchmarks/gpu_copies.py FILE.json

The ways: copied from pinned or pageable memory, in the order of the steps or on another stream, or read through a
mapped view. Figures: microseconds a copy (device time by CUDA events, host time of the call), and milliseconds a step
of Qwen2.5-7B; medians of rounds in which the ways take turns.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from warpgroup.csrc import parse_policy
from warpgroup.experiment import Limits, build_experiment
from warpgroup.runtime import choose_attention, open_machine, open_session
from warpgroup.runtime.step.inputs import Layout, Shape, Slabs, StepLengths
from warpgroup.runtime.step.pinned_memory import Arena
from warpgroup.runtime.step.upload import Copied, at_once, on_copy_stream
from warpgroup.workloads import Trace, load_model

ROWS, CONTEXT, PREFILL = 256, 1024, 16_384


def on_compute_stream(to: torch.Tensor, slab: torch.Tensor) -> Copied:
    """Copies on the stream that computes, between the step before and this one."""
    to.copy_(slab, non_blocking=True)
    copied = torch.cuda.Event()
    copied.record(torch.cuda.current_stream(to.device))
    return copied


def microseconds(work: Callable[[], Any], repeats: int = 200) -> dict[str, float]:
    """Median time of the device, by events around each call, and of the host."""
    device, host = [], []
    for _ in range(repeats):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        start.record()
        began = time.perf_counter()
        work()
        host.append(time.perf_counter() - began)
        end.record()
        torch.cuda.synchronize()
        device.append(start.elapsed_time(end))
    return {
        "device_us": round(float(np.median(device)) * 1e3, 2),
        "host_us": round(float(np.median(host)) * 1e6, 2),
    }


def mapped(memory: torch.Tensor) -> torch.Tensor:
    """Pinned memory as the device sees it: unified addressing gives it one address for both."""
    view = {"shape": tuple(memory.shape), "typestr": "<i4", "data": (memory.data_ptr(), False), "version": 3}
    return torch.as_tensor(type("Mapped", (), {"__cuda_array_interface__": view})(), device="cuda")


def copies(machine, sizes: dict[str, int]) -> dict:
    found = {}
    for name, size in sizes.items():
        (pinned,), pageable = Arena(machine, size).parts, torch.zeros(size, dtype=torch.int32)
        to, view = torch.zeros(size, dtype=torch.int32, device="cuda"), mapped(pinned)
        found[name] = {
            "kib": round(4 * size / 1024, 1),
            "nothing": microseconds(lambda: None),
            "pinned": microseconds(lambda a=to, b=pinned: a.copy_(b, non_blocking=True)),
            "pageable": microseconds(lambda a=to, b=pageable: a.copy_(b)),
            "mapped, read once": microseconds(lambda a=to, b=view: torch.add(b, 0, out=a)),
        }
    return found


def filled(engine, shape: Shape, slab: np.ndarray, rng) -> Layout:
    """The inputs of a step that computes as a real one does, and stores nothing."""
    layout = Layout.of(shape, engine.model.attention.arrays(shape))
    arrays = layout.arrays(slab)
    slab[: layout.size] = 0
    arrays["slots"][:], arrays["sampled_seats"][:] = -1, engine.spare_seat
    lengths = np.full(shape.rows, CONTEXT)
    if shape.rows:
        arrays["lengths"][:], arrays["positions"][: shape.rows] = lengths, lengths - 1
        arrays["blocks"][:] = rng.integers(0, 20_000, len(arrays["blocks"]))
    if shape.prompts:
        edges = np.linspace(0, shape.prompt_tokens, shape.prompts + 1).astype(np.int32)
        arrays["prompt_edges"][:] = edges
        arrays["positions"][:] = np.concatenate([np.arange(n) for n in np.diff(edges)])
        arrays["sampled_tokens"][:] = edges[1:] - 1
    engine.model.attention.fill(arrays, shape, lengths, [])
    return layout


def steps(engine, machine, shape: Shape, lengths: StepLengths, count: int) -> dict:
    """Milliseconds a step, by the way of its inputs; every round has one turn of each way."""
    rng, graph = np.random.default_rng(0), engine.graphs.find(shape)
    pinned, first, second = Arena(machine, 1 << 22, 1 << 22, 1 << 22).parts
    layout = filled(engine, shape, pinned.numpy(), rng)
    resident = engine.graphs.slab if graph else torch.zeros(layout.size, dtype=torch.int32, device="cuda")
    resident[: layout.size].copy_(pinned[: layout.size])

    def run(slab: torch.Tensor) -> None:
        engine.model.step(layout.batch(slab, lengths), engine._cache, engine._last_tokens)

    def step() -> None:
        graph.replay() if graph else run(resident)

    def with_slabs(copy) -> Callable[[], None]:
        slabs = Slabs((first, second), copy)
        for _ in range(2):
            slabs.turn()
            slabs.of_size(layout.size)[: layout.size] = pinned.numpy()[: layout.size]
            slabs.upload(layout, resident)

        def once() -> None:
            slabs.turn()
            slabs.upload(layout, resident)
            step()

        return once

    view = mapped(pinned)
    run(view)
    torch.cuda.synchronize()
    by_view = lambda: run(view)  # noqa: E731
    if graph:
        captured = torch.cuda.CUDAGraph()
        with torch.cuda.graph(captured):
            run(view)
        by_view = captured.replay
    ways = {
        "inputs there already": step,
        "pinned, in order": with_slabs(on_compute_stream),
        "pinned, on a stream of its own": with_slabs(on_copy_stream(machine)),
        "pageable": with_slabs(lambda to, slab: at_once(to, slab.clone())),
        "mapped view": by_view,
    }
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(7):
        for name, way in ways.items():
            way()
            torch.cuda.synchronize()
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            for _ in range(count):
                way()
            end.record()
            torch.cuda.synchronize()
            found[name].append(start.elapsed_time(end) / count)
    return {name: round(float(np.median(times)), 4) for name, times in found.items()}


def main() -> None:
    machine, spec = open_machine("auto"), load_model("qwen2.5-7b")
    trace = Trace.of_rows([(0, CONTEXT, 3000)] * ROWS, max_new_tokens=4096)
    limits = Limits(kv_budget_tokens=400_000, step_tokens=PREFILL, max_seqs=ROWS)
    session = open_session(
        build_experiment(trace, spec, machine.spec, limits=limits),
        [parse_policy("paged")],
        machine,
        attention=choose_attention("auto", machine, spec),
    )
    engine = session.engine
    engine.pool.resize(20_000)
    width = engine.extent.width
    decode = Shape(ROWS, 0, 0, 0, 0, ROWS, width)
    prefill = Shape(0, 0, 0, 16, PREFILL, 16, width)
    sizes = {
        name: Layout.of(shape, engine.model.attention.arrays(shape)).size
        for name, shape in (("256 rows", decode), ("16,384 tokens of prefill", prefill))
    }
    result = {
        "device": machine.name,
        "copy": copies(machine, sizes),
        "step_ms": {
            "256 rows": steps(engine, machine, decode, StepLengths(), 40),
            "16,384 tokens of prefill": steps(engine, machine, prefill, StepLengths(prompts=(PREFILL // 16,) * 16), 1),
        },
    }
    print(json.dumps(result, indent=1))
    Path(sys.argv[1]).write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
