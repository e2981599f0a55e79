"""The report: one self-contained HTML file."""

from collections.abc import Sequence
from pathlib import Path

from ...errors import InvalidRun
from ...records.metrics import averaged, summary_of
from ..judging.differences import differences
from ..judging.factor import factor_interval
from ..judging.paired import SeedMean, typical
from ..judging.provenance import compared_policies, facts, memory_parts
from ..judging.study import Study
from ..judging.table import comparison_table
from ..judging.verdict import Verdict
from ..numbers import ENOUGH_FOR_P99, gib, percent, three_digits
from ..page.page import render_page, write_page
from ..validation.overlay import overlay
from .ablation import ablation_section
from .downloads import downloads
from .figures import figures
from .frontier import frontier
from .glossary import GLOSSARY
from .paired_table import paired_table
from .validity import Answer, Trust, validity, worst


def render(study: Study) -> str:
    """The page. The same study gives the same bytes. Raises InvalidRun if it has neither runs nor sweeps."""
    if not study.runs and not study.sweeps:
        raise InvalidRun("there is no run to report on")
    sections = _sections(study, study.judged) if study.judged is not None else {"judged": None}
    shown = frontier(study.sweeps, [run.info.label for run in study.runs])
    files = downloads(study.runs, study.replicates, study.sweeps)
    return render_page("report.html.jinja", **sections, frontier=shown, glossary=GLOSSARY, downloads=files)


def _sections(study: Study, judged: Verdict) -> dict[str, object]:
    """The values of the template for the compared runs."""
    runs = study.runs
    infos = [run.info for run in runs]
    answers = validity(runs, study.replicates)
    return {
        "judged": judged,
        "trust": worst(answers),
        "trust_line": in_short(answers),
        "tiles": _tiles(judged),
        "infos": infos,
        "facts": facts(study),
        "commands": list(dict.fromkeys(info.command for info in infos)),
        "policies": compared_policies(infos),
        "parts": memory_parts(infos[0].scenario.memory),
        "differences": differences(infos),
        "validity": answers,
        "table": comparison_table(judged),
        "paired": None if judged.winner is None else paired_table(study, judged.sole_winner),
        "ablation": None if judged.winner is None else ablation_section(study.ablation),
        "slo": summary_of(infos[0]).slo,
        **figures(runs, judged),
        "overlay": overlay(study),
        "seeds": max(map(len, study.replicates)),
        "enough_for_p99": ENOUGH_FOR_P99,
    }


def write_report(study: Study, path: Path) -> None:
    """Render into `path` atomically. Raises OutputRefused if it cannot be written."""
    write_page(render(study), path)


def in_short(answers: Sequence[Answer]) -> str:
    """The reason for the worst answer, in short."""
    outcome = worst(answers)
    if outcome is Trust.PASS:
        return "no check found a reason to doubt these figures"
    reasons = [answer.text for answer in answers if answer.outcome is outcome]
    if len(reasons) == 1:
        return reasons[0]
    others = "1 more answer is" if len(reasons) == 2 else f"{len(reasons) - 1} more answers are"
    return f"{reasons[0]} {others} also '{outcome.value}'."


def _tiles(judged: Verdict) -> list[tuple[str, str, str]]:
    """Name, value and explanation of the main figures of the winner; empty if there is none."""
    if judged.winner is None:
        return []
    seeds = list(judged.contenders[judged.winner].by_seed.values())
    best = averaged(seeds)
    goodput = [s.goodput_req_s for s in seeds]
    share = best.peak_vram_bytes / best.vram_budget_bytes
    tiles = [
        (
            _named("goodput", goodput),
            f"{three_digits(typical(goodput).value)} requests/s",
            _interval(typical(goodput)) or best.slo,
        ),
        (
            "out of memory",
            f"{best.ooms:,} steps{' in all' if best.ooms and len(seeds) > 1 else ''}",
            f"requests waited for memory during {best.memory_bound_share:.0%} of the run",
        ),
        ("peak VRAM", gib(best.peak_vram_bytes), f"{percent(share)} of a budget of {gib(best.vram_budget_bytes)}"),
    ]
    if judged.factor is None:
        throughput = [s.total_tok_s for s in seeds]
        under = _interval(typical(throughput)) or f"{best.output_tok_s:,.0f} of them output"
        return [(_named("throughput", throughput), f"{typical(throughput).value:,.0f} tokens/s", under), *tiles]
    over, mean = judged.factor, judged.factor.mean
    certain = f"{factor_interval(mean)} over {mean.seeds} seeds" if mean.low is not None else "one seed, no interval"
    better = "; below 1 is better" if over.figure.smaller_is_better else ""
    return [(f"{over.figure.name} against {over.label}", f"{mean.value:.2f}x", certain + better), *tiles]


def _named(figure: str, values: Sequence[float]) -> str:
    """The name of a figure, with the kind of mean that `typical` takes over several values."""
    return f"{'geometric' if min(values) > 0 else 'arithmetic'} mean {figure}" if len(values) > 1 else figure


def _interval(estimate: SeedMean) -> str:
    if estimate.low is None or estimate.high is None:
        return ""
    low = max(estimate.low, 0.0)  # no figure here can be negative
    return f"[{three_digits(low)}, {three_digits(estimate.high)}] over {estimate.seeds} seeds"
