"""The report: one HTML file that needs nothing but itself."""

from collections.abc import Sequence
from pathlib import Path

from ..csrc import policy_catalogue
from ..errors import InvalidRun
from ..metrics import GLOSSARY
from ..records import MemoryInfo, Run, RunInfo, TraceInfo
from .differences import differences
from .numbers import ENOUGH_FOR_P99, GIB, gib, three_digits
from .page import render_page, write_page
from .table import comparison
from .verdict import Verdict, summary_of, verdict


def render(runs: Sequence[Run]) -> str:
    """The page for these runs, in their order. The same runs give the same bytes. Raises InvalidRun if none."""
    from .latency_figure import latency_figure
    from .svg import inline_svg
    from .vram_figure import vram_figure

    if not runs:
        raise InvalidRun("there is no run to report on")
    infos = [run.info for run in runs]
    judged = verdict(infos)
    compared = ", ".join(info.label for info in infos)
    return render_page(
        "report.html.jinja",
        judged=judged,
        tiles=_tiles(runs, judged),
        infos=infos,
        facts=_facts(runs),
        policies=_policies(infos),
        parts=_memory_parts(infos[0].scenario.memory),
        differences=differences(infos),
        validity=_validity(runs),
        table=comparison(infos, judged),
        vram=inline_svg(
            "vram",
            vram_figure(runs),
            f"VRAM over time: {compared}",
            "One panel for each policy: memory in use between the weights and the budget, with marks where a step "
            "ran out of memory or a request was evicted.",
        ),
        latency=inline_svg(
            "latency",
            latency_figure(runs),
            f"Distribution of TTFT and E2E: {compared}",
            "For each policy the share of requests whose first token, and whose last, came within a time.",
        ),
        glossary=GLOSSARY,
    )


def write_report(runs: Sequence[Run], path: Path) -> None:
    """Render into `path`, whole or not at all. Raises OutputRefused."""
    write_page(render(runs), path)


def _tiles(runs: Sequence[Run], judged: Verdict) -> list[tuple[str, str, str]]:
    best = summary_of(runs[judged.winner].info)
    share = best.peak_vram_bytes / best.vram_budget_bytes
    return [
        ("goodput", f"{three_digits(best.goodput_req_s)} requests/s", best.slo),
        ("throughput", f"{best.total_tok_s:,.0f} tokens/s", f"{best.output_tok_s:,.0f} of them output"),
        ("peak VRAM", gib(best.peak_vram_bytes), f"{share:.0%} of a budget of {gib(best.vram_budget_bytes)}"),
        ("waited for memory", f"{best.memory_bound_share:.0%} of the time", f"{best.ooms:,} out-of-memory steps"),
    ]


def _facts(runs: Sequence[Run]) -> list[tuple[str, str]]:
    info = runs[0].info
    scenario, trace = info.scenario, info.scenario.trace
    facts = [
        ("scenario", scenario.name),
        ("trace", f"{trace.name} ({trace.format}), content {trace.content_hash}"),
        ("file", f"{trace.file}, sha256 {trace.file_sha256[:16]}"),
        ("requests", _rows(trace)),
        ("arrivals", f"{trace.arrivals}, rate scaled by {trace.rate_scale:g}"),
        ("max_new_tokens", f"{trace.max_new_tokens:,}, the same for every request"),
        ("model", scenario.model),
        ("device", scenario.device),
        ("limits", f"{scenario.max_seqs:,} requests at once, {scenario.step_tokens:,} tokens a step"),
        ("KV pool", f"{scenario.memory.pool_blocks:,} blocks of {scenario.memory.block_tokens} tokens"),
        ("SLO", summary_of(info).slo),
        ("seed", str(info.seed)),
        ("versions", ", ".join(f"{name} {version}" for name, version in info.versions.items())),
    ]
    if trace.over_context:
        text = f"{trace.over_context:,} requests exceed the model's context window; lengths are taken as given"
        facts.append(("beyond context", text))
    return facts


def _policies(infos: Sequence[RunInfo]) -> list[tuple[str, str]]:
    """What each policy among the runs stands for."""
    compared = {info.policy.partition("(")[0] for info in infos}
    return [(policy.id, policy.stands_for) for policy in policy_catalogue() if policy.id in compared]


def _rows(trace: TraceInfo) -> str:
    text = f"{trace.requests:,} of {trace.rows_read:,} rows"
    for verb, reasons in (("dropped", trace.dropped), ("repaired", trace.repaired)):
        for reason, count in reasons.items():
            text += f"; {verb} {count:,}: {reason.replace('_', ' ')}"
    return text


def _memory_parts(memory: MemoryInfo) -> list[tuple[str, str, float]]:
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


def _validity(runs: Sequence[Run]) -> list[str]:
    lines = []
    simulated = sorted({run.info.scenario.step_time for run in runs if run.info.kind == "simulated"})
    if simulated:
        lines.append(f"Simulated, not measured. Step durations: {'; '.join(simulated)}.")
    for run in runs:
        info, s = run.info, summary_of(run.info)
        lost = [f"{count:,} {name}" for name in ("rejected", "failed", "aborted") if (count := getattr(s, name))]
        if not info.complete:
            lines.append(f"{info.label} is INCOMPLETE: it was interrupted, its figures are of what had run by then.")
        if lost:
            lines.append(f"{info.label}: {', '.join(lost)} of {s.requests:,} requests.")
    few = min(summary_of(run.info).finished for run in runs)
    if few < ENOUGH_FOR_P99:
        lines.append(f"p99 figures are rough: {few:,} requests finished, {ENOUGH_FOR_P99} are wanted.")
    return [*lines, "One seed, so differences carry no interval. Prefix caching is not modelled."]
