"""A trace in sentences, for the terminal and the page alike."""

from ...workloads import TraceSummary
from ..numbers import seconds, three_digits


def trace_text(summary: TraceSummary) -> list[str]:
    """Sentences about arrivals, and about conversations and shared prefixes if there are any."""
    return [text for text in (arrivals(summary), conversations(summary), sharing(summary)) if text]


def arrivals(summary: TraceSummary) -> str:
    """The rate of arrivals and their regularity."""
    if summary.rate_s is None or summary.span_s is None or summary.cv is None:
        return "no arrival times: add them with --arrivals poisson:RATE, users:N or at-zero"
    whose = (
        f" of the {summary.arrivals:,} requests that wait for no other" if summary.arrivals < summary.requests else ""
    )
    idc = ", ".join(f"{value:.2f} over {window}" for window, value in summary.idc.items())
    return (
        f"arrivals{whose}: {three_digits(summary.rate_s)} /s for {three_digits(summary.span_s)} s, "
        f"CV of gaps {summary.cv:.2f}"
        f"{idc and ', index of dispersion '}{idc} (1 is Poisson)"
    )


def conversations(summary: TraceSummary) -> str:
    """The length of conversations, and the think time of their users; empty if there are no conversations."""
    found = summary.conversations
    if found is None:
        return ""
    turns = f"{three_digits(found.turns.mean)} turns on average, p50 {found.turns.p50:.0f}, p95 {found.turns.p95:.0f}"
    text = f"{found.conversations:,} conversations: {turns}, at most {found.turns.max:,}"
    if not found.think_s:
        return text
    think = ", ".join(f"{name} {seconds(value)}" for name, value in found.think_s.items())
    return f"{text}; {found.waiting:.1%} of requests wait for the answer to the request before, think time {think}"


def sharing(summary: TraceSummary) -> str:
    """What a prefix cache would save; empty if no blocks are known."""
    found = summary.prefix
    if found is None:
        return ""
    within = "".join(f", {share:.1%} if kept {age[:-1]} s" for age, share in found.hit_within.items())
    return (
        f"prefixes: an unlimited cache would save {found.hit:.1%} of prompt tokens{within}; {found.used_once:.0%} of "
        f"{found.distinct_blocks:,} blocks of {found.block_tokens} tokens are used once"
    )
