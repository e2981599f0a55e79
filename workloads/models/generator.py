"""Generated traces that imitate public ones: lengths or sessions, and arrivals, from one or more workload models."""

import hashlib
import math

import msgspec
import numpy as np

from ...errors import InvalidScenario, UnknownName
from .. import streams
from ..streams import stream
from ..trace import Column, Trace, TraceSource, Turns, starts_ns
from ..trace.loops import begun_at
from ..trace.trace import OUTPUT_CLIPPED
from .arrival_processes import Process, arrivals_ns
from .arrivals import process_named
from .session_model import SessionModel, draw_sessions
from .workload_model import WorkloadModel, built_in_workloads

_Drawn = tuple[Column, Column, Turns | None, dict[str, int]]  # prompts, outputs, turns, and repairs by reason


class Component(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A share of the requests, with the lengths of one workload. Longer prompts than the limit are clipped to it.

    A workload with sessions cannot be mixed; a session that would exceed the limit is reset.
    """

    mixture: str
    share: float = 1.0
    max_prompt_tokens: int = 0


class GeneratorSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to generate. `arrivals` is a process that `process_named` reads; empty: the trace has lengths alone."""

    components: list[Component]
    arrivals: str = ""


def generate_trace(spec: GeneratorSpec, *, requests: int, seed: int, max_new_tokens: int) -> Trace:
    """Draw `requests` requests. The same arguments give the same trace.

    Raises:
        UnknownName: a mixture is unknown.
        InvalidScenario: there is no component, a share is not positive, sessions are mixed, or the arrival process is
            unknown.
    """
    _check(spec)
    return _drawn(
        [(component, built_in_workloads()[component.mixture]) for component in spec.components],
        process_named(spec.arrivals) if spec.arrivals else None,
        requests=requests,
        seed=seed,
        max_new_tokens=max_new_tokens,
        described=msgspec.json.encode([spec, requests, seed, max_new_tokens]),
    )


def generate_from(model: WorkloadModel, *, requests: int, seed: int, max_new_tokens: int | None = None) -> Trace:
    """Draw `requests` requests of one model, with its arrivals.

    Args:
        max_new_tokens: in place of the model's.

    Raises:
        InvalidScenario: `requests` is less than 1.
    """
    limit = max_new_tokens or model.max_new_tokens
    return _drawn(
        [(Component(model.name), model)],
        model.arrivals,
        requests=requests,
        seed=seed,
        max_new_tokens=limit,
        described=msgspec.json.encode([model, requests, seed, limit]),
    )


def _check(spec: GeneratorSpec) -> None:
    if not spec.components:
        raise InvalidScenario("workload: components is empty, expected at least one")
    for component in spec.components:
        if component.mixture not in built_in_workloads():
            raise UnknownName("mixture", component.mixture, built_in_workloads())
        if not 0 < component.share < math.inf:
            raise InvalidScenario(f"workload: share of {component.mixture} is {component.share:g}, expected > 0")
        if component.max_prompt_tokens < 0:
            raise InvalidScenario(
                f"workload: max_prompt_tokens of {component.mixture} is {component.max_prompt_tokens}, expected >= 0"
            )


def _drawn(
    parts: list[tuple[Component, WorkloadModel]],
    process: Process | None,
    *,
    requests: int,
    seed: int,
    max_new_tokens: int,
    described: bytes,
) -> Trace:
    if requests < 1:
        raise InvalidScenario(f"requests is {requests}, expected at least 1")
    component, model = parts[0]
    if len(parts) == 1 and model.sessions:
        drawn = _sessions(model.sessions, requests, _clip(component, model), seed)
    else:
        drawn = _lengths(parts, requests, seed)
    prompt, output, turns, repaired = drawn
    repaired[OUTPUT_CLIPPED] = int((output > max_new_tokens).sum())
    trace = Trace(
        name="+".join(model.name for _, model in parts),
        arrival_ns=np.zeros(requests, dtype=np.int64),
        prompt_tokens=prompt,
        output_tokens=np.minimum(output, max_new_tokens),
        max_new_tokens=max_new_tokens,
        has_times=process is not None,
        source=TraceSource(
            path="generated",
            sha256=hashlib.sha256(described).hexdigest(),
            format="generated",
            rows_read=requests,
            kept=requests,
            repaired={reason: count for reason, count in repaired.items() if count},
        ),
        turns=turns,
    )
    return begun_at(trace, arrivals_ns(process, len(starts_ns(trace)), seed)) if process else trace


def _lengths(parts: list[tuple[Component, WorkloadModel]], requests: int, seed: int) -> _Drawn:
    shares = np.array([component.share for component, _ in parts])
    chosen = stream(seed, streams.CHOICE).choice(len(shares), requests, p=shares / shares.sum())
    prompt = np.zeros(requests, dtype=np.int64)
    output = np.zeros(requests, dtype=np.int64)
    clipped = 0
    for index, (component, model) in enumerate(parts):
        if model.mixture is None:
            raise InvalidScenario(f"workload: {model.name} has sessions, which cannot be mixed: use it alone")
        mine = chosen == index
        lengths = model.mixture.draw(int(mine.sum()), _clip(component, model), stream(seed, streams.LENGTHS, index))
        prompt[mine], output[mine], cut = lengths
        clipped += int(cut.sum())
    return prompt, output, None, {"length_clipped_to_the_range_of_its_mixture": clipped}


def _sessions(model: SessionModel, requests: int, clip: tuple[int, int], seed: int) -> _Drawn:
    drawn = draw_sessions(model, requests, clip, seed)
    repaired = {
        "length_clipped_to_the_range_of_its_mixture": int(drawn.clipped.sum()),
        "session_reset_at_the_longest_prompt": int(drawn.reset.sum()),
    }
    return drawn.prompt_tokens, drawn.output_tokens, drawn.turns, repaired


def _clip(component: Component, model: WorkloadModel) -> tuple[int, int]:
    return component.max_prompt_tokens or model.clip[0], model.clip[1]
