"""The page of a trace: its requests, and what happened to every row of its file."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...workloads import ModelSpec, Trace, summarize_trace
from ...workloads.trace.loops import starts_ns
from ...workloads.trace.summary import LengthSummary, TraceSummary
from ..numbers import three_digits
from ..page.escaping import line
from ..page.page import render_page, write_page
from ..page.svg import inline_svg
from . import arrival_figure as trace_arrival_figure
from . import length_figure as trace_length_figure
from . import prefix_figure as trace_prefix_figure
from . import turns_figure as trace_turns_figure
from .capacity import too_large
from .text import arrivals, conversations, sharing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_FEW_UNITS = 2  # below this number of a unit, the next shorter unit is used
_LONGEST_NAME, _LONGEST_EXAMPLE = 200, 300


def write_trace_page(trace: Trace, path: Path, model: ModelSpec | None = None) -> None:
    """Write the page of a trace atomically. If a model is given, it also shows what is too large for it.

    Raises OutputRefused if it cannot be written.
    """
    write_page(trace_page(trace, model), path)


def trace_page(trace: Trace, model: ModelSpec | None = None) -> str:
    """The page. The same trace gives the same bytes."""
    summary = summarize_trace(trace)
    return render_page(
        "trace.html.jinja",
        name=line(trace.name, _LONGEST_NAME),
        headline=_headline(summary),
        tiles=_tiles(trace, summary, model),
        summary=summary,
        lengths=_lengths(summary),
        text={"arrivals": arrivals(summary), "conversations": conversations(summary), "sharing": sharing(summary)},
        figures=_figures(trace, summary, model),
        too_large=too_large(trace, model),
        model=model,
        facts=_facts(trace),
        reasons=_reasons(trace),
        left=_left(trace),
    )


def _headline(summary: TraceSummary) -> str:
    text = f"{summary.requests:,} requests"
    if summary.span_s:
        text += f" in {_span(summary.span_s)}"
    prompt, output = summary.prompt_tokens, summary.output_tokens
    return f"{text}: prompts of {prompt.mean:,.0f} tokens and outputs of {output.mean:,.0f} on average"


def _span(span_s: float) -> str:
    unit_s, unit = next(
        (each for each in ((86_400, "days"), (3600, "hours"), (60, "minutes")) if span_s >= _FEW_UNITS * each[0]),
        (1, "seconds"),
    )
    return f"{three_digits(span_s / unit_s)} {unit}"


def _tiles(trace: Trace, summary: TraceSummary, model: ModelSpec | None) -> list[tuple[str, str, str]]:
    """Name, value and explanation of the main figures."""
    prompt, output = summary.prompt_tokens, summary.output_tokens
    talk, shared = summary.conversations, summary.prefix
    tiles = [
        ("prompt, median", f"{prompt.p50:,.0f} tokens", f"99th percentile {prompt.p99:,.0f}"),
        ("output, median", f"{output.p50:,.0f} tokens", f"{summary.output_share:.1%} of all tokens are output"),
    ]
    if summary.rate_s is not None and summary.cv is not None:
        tiles.append(("arrivals", f"{three_digits(summary.rate_s)} /s", f"CV of gaps {summary.cv:.2f}, 1 is Poisson"))
    if talk is not None and talk.waiting:
        tiles.append(("closed loop", f"{talk.waiting:.1%}", "of requests wait for the answer to the request before"))
    if shared is not None:
        tiles.append(("prefix cache", f"{shared.hit:.1%}", "of prompt tokens that an unlimited cache would save"))
    if model is not None:
        over = int((trace.prompt_tokens + trace.output_tokens > model.context_tokens).sum())
        under = f"of requests exceed the {model.context_tokens:,} tokens of {model.name}"
        tiles.append(("beyond the context", f"{over / len(trace):.1%}", under))
    return tiles


def _lengths(summary: TraceSummary) -> list[tuple[str, list[str]]]:
    """Rows of the table of lengths."""

    def cells(lengths: LengthSummary) -> list[str]:
        return [f"{v:,.0f}" for v in (lengths.mean, lengths.p50, lengths.p95, lengths.p99, lengths.max)]

    return [(name, cells(getattr(summary, f"{name}_tokens"))) for name in ("prompt", "output", "total")]


def _figures(trace: Trace, summary: TraceSummary, model: ModelSpec | None) -> dict[str, str]:
    """Each figure that the trace has data for, as an SVG element."""
    drawn: dict[str, tuple[Figure, Any]] = {
        "lengths": (trace_length_figure.length_figure(trace, model), trace_length_figure)
    }
    if summary.span_s:
        drawn["arrivals"] = trace_arrival_figure.arrival_figure(starts_ns(trace), summary), trace_arrival_figure
    if trace.turns is not None and summary.conversations is not None:
        drawn["turns"] = trace_turns_figure.turns_figure(trace.turns), trace_turns_figure
    if trace.prefix is not None and summary.prefix is not None:
        figure = trace_prefix_figure.prefix_figure(trace, trace.prefix, summary.prefix)
        drawn["prefix"] = figure, trace_prefix_figure
    name = line(trace.name, _LONGEST_NAME)
    return {
        key: inline_svg(key, figure, f"{about.TITLE}: {name}", about.DESCRIPTION)
        for key, (figure, about) in drawn.items()
    }


def _facts(trace: Trace) -> list[tuple[str, str]]:
    source = trace.source
    changes = ", ".join(source.transforms)
    facts = {
        "file": source.path,
        "sha256": source.sha256,
        "format": source.format,
        "rows": f"{source.rows_read:,} read, {source.kept:,} kept, {sum(source.dropped.values()):,} dropped",
        "then changed": changes or "nothing",
        "max_new_tokens": f"{trace.max_new_tokens:,}, the same for every request",
        "requests' hash": trace.content_hash,
        "tokens": "counted by the source of the trace, perhaps with another tokenizer than your model's; used as given",
    }
    return [(name, line(value, _LONGEST_EXAMPLE)) for name, value in facts.items()]


def _left(trace: Trace) -> str:
    """How many rows were dropped or repaired, in short; empty if none were."""
    source = trace.source
    counts = {"dropped": sum(source.dropped.values()), "repaired": sum(source.repaired.values())}
    return ", ".join(f"{count:,} {verb}" for verb, count in counts.items() if count)


def _reasons(trace: Trace) -> list[tuple[str, str, str, str]]:
    """What was done with rows, why, with how many, and the first of them."""
    source = trace.source
    return [
        (verb, line(reason.replace("_", " "), _LONGEST_NAME), f"{count:,}", line(example, _LONGEST_EXAMPLE))
        for verb, reasons in (("dropped", source.dropped), ("repaired", source.repaired))
        for reason, count in reasons.items()
        for example in [source.examples.get(reason, "")]
    ]
