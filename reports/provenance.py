"""What was compared: requests, model, device, limits, versions, and what the policies stand for."""

from collections.abc import Sequence

from ..csrc import policy_catalogue
from ..records import MemoryInfo, RunInfo, TraceInfo
from .numbers import GIB
from .study import Study
from .verdict import labels_of, summary_of


def facts(study: Study) -> list[tuple[str, str]]:
    """Name and value of everything but the policy that decided the runs."""
    info = study.runs[0].info
    scenario, trace = info.scenario, info.scenario.trace
    found = [
        ("scenario", scenario.name),
        ("trace", f"{trace.name} ({trace.format}), content {trace.content_hash}"),
        ("file", f"{trace.file}, sha256 {trace.file_sha256[:16]}"),
        ("requests", _rows(trace)),
        ("arrivals", f"{trace.arrivals}, rate scaled by {trace.rate_scale:g}"),
        ("max_new_tokens", f"{trace.max_new_tokens:,}, the same for every request"),
        ("model", scenario.model),
        ("device", scenario.device),
        ("VRAM budget", f"{scenario.memory.budget_bytes / GIB:.2f} GiB"),
        ("limits", f"{scenario.max_seqs:,} requests at once, {scenario.step_tokens:,} tokens a step"),
        ("KV pool", f"{scenario.memory.pool_blocks:,} blocks of {scenario.memory.block_tokens} tokens"),
        ("SLO", summary_of(info).slo),
        ("seeds", ", ".join(str(each.seed) for each in max(study.replicates, key=len))),
        *_versions([run.info for run in study.runs]),
    ]
    if trace.over_context:
        text = f"{trace.over_context:,} requests exceed the model's context window; lengths are taken as given"
        found.append(("beyond context", text))
    return found


def _versions(infos: Sequence[RunInfo]) -> list[tuple[str, str]]:
    """With what the runs were made, and which ones if not all with the same."""
    made: dict[str, list[str]] = {}
    for label, info in zip(labels_of(infos), infos, strict=True):
        made.setdefault(", ".join(f"{name} {version}" for name, version in info.versions.items()), []).append(label)
    if len(made) == 1:
        return [("versions", next(iter(made)))]
    return [(f"versions of {', '.join(labels)}", versions) for versions, labels in made.items()]


def policies(infos: Sequence[RunInfo]) -> list[tuple[str, str]]:
    """What each policy among the runs stands for."""
    compared = {info.policy.partition("(")[0] for info in infos}
    return [(policy.id, policy.stands_for) for policy in policy_catalogue() if policy.id in compared]


def _rows(trace: TraceInfo) -> str:
    text = f"{trace.requests:,} of {trace.rows_read:,} rows"
    for verb, reasons in (("dropped", trace.dropped), ("repaired", trace.repaired)):
        for reason, count in reasons.items():
            text += f"; {verb} {count:,}: {reason.replace('_', ' ')}"
    return text


def memory_parts(memory: MemoryInfo) -> list[tuple[str, str, float]]:
    """Name, size and percentage of the budget of each part."""
    tokens = memory.pool_blocks * memory.block_tokens
    parts = {
        "weights": memory.weight_bytes,
        "CUDA context": memory.context_bytes,
        "CUDA graphs": memory.graph_pool_bytes,
        "activations of the largest step": memory.activation_reserve_bytes,
        f"KV pool of {tokens:,} tokens": memory.kv_pool_bytes,
    }
    shown = {name: size for name, size in parts.items() if size}
    return [(name, f"{size / GIB:.2f} GiB", 100 * size / memory.budget_bytes) for name, size in shown.items()]
