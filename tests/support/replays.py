"""Replays on the CPU for tests."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from warpgroup.csrc import parse_policy
from warpgroup.experiment import Limits, build_experiment
from warpgroup.records import Run
from warpgroup.runtime import Replay, ReplayOptions, open_machine, open_session
from warpgroup.workloads import ModelSpec, Trace, load_model


@dataclass(frozen=True)
class Replayed:
    """A run, and the tokens that each request generated."""

    run: Run
    tokens: list[list[int]]
    prompts: list[list[int]]


def replay(
    rows: list[tuple[int, int, int]] | Trace,
    policy: str,
    *,
    model: ModelSpec | None = None,
    weights_folder: Path | None = None,
    max_new_tokens: int = 100,
    slow_device: bool = False,
    temperature: float = 0.0,
    options: ReplayOptions | None = None,
    prepare: Callable[[Replay], None] | None = None,
    **limits: int,
) -> Replayed:
    """Replay a trace, or rows of (arrival in ns, prompt, output), under a policy.

    Args:
        slow_device: the device counts as so slow that swapping is always faster than computing again.
        prepare: gets the replay before it runs.
    """
    machine = open_machine("cpu")
    spec = model or load_model("tiny")
    device = msgspec.structs.replace(machine.spec, bf16_flops=10**9) if slow_device else machine.spec
    trace = rows if isinstance(rows, Trace) else Trace.of_rows(rows, max_new_tokens=max_new_tokens)
    wanted = Limits(**({"max_seqs": 16, "step_tokens": 64, "kv_blocks": 400} | limits))
    experiment = build_experiment(trace, spec, device, limits=wanted)
    chosen = parse_policy(policy)
    session = open_session(experiment, [chosen], machine, weights_folder=weights_folder, temperature=temperature)
    with session.monitor() as monitor:
        made = Replay(
            session.experiment,
            chosen,
            session.engine,
            monitor,
            fixed_bytes=session.fixed_bytes,
            options=options or ReplayOptions(),
        )
        if prepare:
            prepare(made)
        run = made.run()
    log = made.executor.log
    prompts = [
        log.tokens[start : start + prompt].tolist()
        for start, prompt in zip(log.starts, trace.prompt_tokens, strict=True)
    ]
    tokens = [log.output(request, output).tolist() for request, output in enumerate(trace.output_tokens)]
    session.close()
    return Replayed(run, tokens, prompts)
