"""The report: one HTML file that needs nothing but itself."""

from collections.abc import Sequence
from pathlib import Path

from ..errors import InvalidRun
from ..metrics import GLOSSARY, averaged
from .attribution import attribution
from .contest import on_common_seeds
from .differences import differences
from .downloads import downloads
from .figures import figures
from .frontier import frontier
from .numbers import gib, three_digits
from .overlay import overlay
from .page import render_page, write_page
from .paired import Estimate, mean
from .paired_table import paired_table
from .provenance import facts, memory_parts, policies
from .study import Study
from .table import comparison
from .validity import Answer, Outcome, validity, worst
from .verdict import Verdict, labels_of, summary_of, verdict


def render(study: Study) -> str:
    """The page. The same study gives the same bytes. Raises InvalidRun if there is nothing in it."""
    if not study.runs and not study.sweeps:
        raise InvalidRun("there is no run to report on")
    sections = _sections(study) if study.runs else {"judged": None}
    shown = frontier(study.sweeps, labels_of([run.info for run in study.runs]))
    files = downloads(study.runs, study.replicates, study.sweeps)
    return render_page("report.html.jinja", **sections, frontier=shown, glossary=GLOSSARY, downloads=files)


def _sections(study: Study) -> dict[str, object]:
    """What the template shows of runs."""
    runs = study.runs
    infos = [run.info for run in runs]
    judged = verdict(infos, study.replicates)
    answers = validity(runs, study.replicates)
    return {
        "judged": judged,
        "trust": worst(answers),
        "trust_line": _in_short(answers),
        "tiles": _tiles(study, judged),
        "infos": infos,
        "facts": facts(study),
        "commands": list(dict.fromkeys(info.command for info in infos)),
        "policies": policies(infos),
        "parts": memory_parts(infos[0].scenario.memory),
        "differences": differences(infos),
        "validity": answers,
        "table": comparison(infos, judged),
        "paired": paired_table(study, judged.winner if judged.contested and not judged.tied else None),
        "attribution": attribution(study.ladder),
        "slo": summary_of(infos[0]).slo,
        **figures(runs, judged),
        "overlay": overlay(study),
        "seeds": max(map(len, study.replicates)),
    }


def write_report(study: Study, path: Path) -> None:
    """Render into `path`, whole or not at all. Raises OutputRefused."""
    write_page(render(study), path)


def _in_short(answers: Sequence[Answer]) -> str:
    """Why the whole is judged as it is."""
    outcome = worst(answers)
    if outcome is Outcome.PASS:
        return "nothing speaks against these figures"
    reasons = [answer.text for answer in answers if answer.outcome is outcome]
    more = f" And {len(reasons) - 1} more." if len(reasons) > 1 else ""
    return reasons[0] + more


def _tiles(study: Study, judged: Verdict) -> list[tuple[str, str, str]]:
    seeds = [summary_of(info) for info in on_common_seeds(study.replicates)[judged.winner]]
    best = averaged(seeds)
    goodput = mean([s.goodput_req_s for s in seeds])
    share = best.peak_vram_bytes / best.vram_budget_bytes
    tiles = [
        (
            "mean goodput" if len(seeds) > 1 else "goodput",
            f"{three_digits(goodput.value)} requests/s",
            _interval(goodput) or best.slo,
        ),
        (
            "out of memory",
            f"{best.ooms:,} steps",
            f"requests waited for memory {best.memory_bound_share:.0%} of the time",
        ),
        ("peak VRAM", gib(best.peak_vram_bytes), f"{share:.0%} of a budget of {gib(best.vram_budget_bytes)}"),
    ]
    if judged.lead is None:
        throughput = mean([s.total_tok_s for s in seeds])
        under = _interval(throughput) or f"{best.output_tok_s:,.0f} of them output"
        return [("throughput", f"{throughput.value:,.0f} tokens/s", under), *tiles]
    other, figure, factor = judged.lead
    certain = _interval(factor) or "one seed, no interval"
    return [(f"{figure} against {other}", f"{factor.value:.2f}x", certain), *tiles]


def _interval(estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None:
        return ""
    low = max(estimate.low, 0.0)  # no figure here is below
    return f"[{three_digits(low)}, {three_digits(estimate.high)}] over {estimate.seeds} seeds"
