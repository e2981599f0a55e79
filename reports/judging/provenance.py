"""What was compared: requests, model, device, limits and versions, and what the policies stand for."""

from collections.abc import Callable, Sequence

from ...csrc import parse_policy, policy_catalogue
from ...errors import WarpGroupError
from ...records import MemoryInfo, RunInfo, TraceInfo
from ...records.metrics import summary_of
from ...records.run import reshuffles
from ..numbers import gib, typeset
from .contender import labels_of
from .study import Study


def facts(study: Study) -> list[tuple[str, str]]:
    """Name and value of everything that decided the runs, except the policy."""
    infos = [run.info for run in study.runs]
    info = infos[0]
    scenario, trace = info.scenario, info.scenario.trace
    found = [
        ("scenario", scenario.name),
        ("trace", f"{trace.name} ({trace.format}), content {trace.content_hash}"),
        ("file", f"{trace.file}, sha256 {trace.file_sha256[:16]}"),
        ("requests", _rows(trace)),
        ("arrivals", trace.arrivals),
        ("transforms", typeset(", then ".join(trace.transforms)) or "none"),
        ("max_new_tokens", f"{trace.max_new_tokens:,}, the same for every request"),
        ("model", scenario.model),
        ("device", scenario.device),
        ("VRAM budget", gib(scenario.memory.budget_bytes, 2)),
        ("limits", f"{scenario.max_seqs:,} requests at once, {scenario.step_tokens:,} tokens per step"),
        ("KV pool", f"{scenario.memory.pool_blocks:,} blocks of {scenario.memory.block_tokens} tokens"),
        ("SLO", typeset(summary_of(info).slo)),
        ("seeds", _seeds(max(study.replicates, key=len))),
        *_told("machine", infos, _machine),
        *_told("versions", infos, lambda info: ", ".join(f"{name} {each}" for name, each in info.versions.items())),
    ]
    if trace.over_context:
        text = f"{trace.over_context:,} requests exceed the model's context window; they run with their full length"
        found.append(("beyond context", text))
    return found


def _seeds(replicates: Sequence[RunInfo]) -> str:
    """All seeds, and how the requests of the others differ from the first if the trace is not generated."""
    text = ", ".join(str(info.seed) for info in replicates)
    is_reshuffled = any(map(reshuffles, replicates[-1].scenario.trace.transforms))
    return f"{text}; each later seed reshuffles the requests over the arrival times" if is_reshuffled else text


def _told(name: str, infos: Sequence[RunInfo], text_of: Callable[[RunInfo], str]) -> list[tuple[str, str]]:
    """The text of each run under one name; with the labels of the runs if their texts differ."""
    told: dict[str, list[str]] = {}
    for label, info in zip(labels_of(infos), infos, strict=True):
        if text := text_of(info):
            told.setdefault(text, []).append(label)
    if len(told) == 1:
        return [(name, next(iter(told)))]
    return [(f"{name} of {', '.join(labels)}", text) for text, labels in told.items()]


def _machine(info: RunInfo) -> str:
    """The machine of a real run; empty for a simulated run."""
    machine = info.machine
    if machine is None:
        return ""
    parts = [
        machine.device,
        machine.driver and f"driver {machine.driver}",
        machine.dtype,
        f"attention by {machine.attention}",
        f"{machine.graphs:,} CUDA graphs" if machine.graphs else "no CUDA graphs",
        "each step planned while the step before it ran" if machine.plan_ahead else "each step planned after the last",
        f"temperature {machine.temperature:g}" if machine.temperature else "greedy",
    ]
    return ", ".join(filter(None, parts))


def compared_policies(infos: Sequence[RunInfo]) -> list[tuple[str, str, list[str]]]:
    """The id of each policy, what it stands for, and the parameters of each of its runs."""
    texts: dict[str, list[str]] = {}
    for policy in dict.fromkeys(info.policy for info in infos):
        texts.setdefault(policy.partition("(")[0], []).append(_parameters(policy))
    known = [policy for policy in policy_catalogue() if policy.id in texts]
    return [(policy.id, policy.stands_for, [*filter(None, texts[policy.id])]) for policy in known]


def _parameters(policy: str) -> str:
    """All parameters, including defaults. If this version does not know them, only those that were given."""
    try:
        return ", ".join(f"{name}={value:g}" for name, value in parse_policy(policy).values.items())
    except WarpGroupError:
        return policy.partition("(")[2].removesuffix(")")


def _rows(trace: TraceInfo) -> str:
    text = f"{trace.requests:,} of {trace.rows_read:,} rows"
    for verb, reasons in (("dropped", trace.dropped), ("repaired", trace.repaired)):
        for reason, count in reasons.items():
            text += f"; {verb} {count:,}: {reason.replace('_', ' ')}"
    return f"{text}; {trace.waiting:,} arrive when another request has ended" if trace.waiting else text


def memory_parts(memory: MemoryInfo) -> list[tuple[str, str, float]]:
    """Name, size and percentage of each part of the VRAM budget."""
    tokens = memory.pool_blocks * memory.block_tokens
    parts = {
        "weights": memory.weight_bytes,
        "CUDA context": memory.context_bytes,
        "CUDA graphs": memory.graph_pool_bytes,
        "activations of the largest step": memory.activation_reserve_bytes,
        f"KV pool of {tokens:,} tokens": memory.kv_pool_bytes,
    }
    shown = {name: size for name, size in parts.items() if size}
    return [(name, gib(size, 2), 100 * size / memory.budget_bytes) for name, size in shown.items()]
