"""Requests drawn from ServeGen's clients over a span of time: the sum of all clients, each as bursty as it was.

A window of a client brings exactly as many requests as its rate says, since rates are measured counts. The gaps are
drawn from the window's Gamma or Weibull shape and scaled to fill the window. The window is treated as a circle with a
random starting point; a fixed starting point would put the bursts of all clients at the same moments.

Prompt and output lengths come from the distributions of a window of 6 hours. The files do not say how they are
correlated, so they are drawn independently. Each window of each client has random streams of its own: leaving out a
client, or drawing another span, does not change the other requests.

Each drawn request counts as a row; a window or client that cannot be read counts as one too.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from ...errors import InvalidScenario, InvalidTrace
from .. import streams
from ..quantities import NS
from ..readers.raw import Floats, RawRows
from ..streams import stream
from ..trace import Column, Trace, TraceSource
from ..trace.transform_text import seeded
from .cleaning import Cleaning, Finding, Rules
from .servegen_clients import WINDOW_S, Client, Clients, Window, read_clients
from .servegen_files import ARCHIVE_LIMIT_BYTES

DEFAULT_SPAN_S = 3_600.0
DEFAULT_MAX_NEW_TOKENS = 32_768
MOST_DRAWN = 1 << 24
"""The most requests that can be drawn; each takes some hundred bytes."""


class _Span(NamedTuple):
    """A span of time, by the clock of the clients."""

    start_s: float
    end_s: float

    def __str__(self) -> str:
        return f"{self.start_s:.10g} s to {self.end_s:.10g} s"


class _Requests(NamedTuple):
    """Requests of some windows, in no particular order."""

    time_ns: Column
    prompt: Floats
    output: Floats


def draw_clients(
    path: Path,
    rules: Rules,
    *,
    seed: int = 0,
    start_s: float | None = None,
    end_s: float | None = None,
    unpacked_limit_bytes: int = ARCHIVE_LIMIT_BYTES,
) -> Trace:
    """Draw the requests that the clients of a folder or an archive send from `start_s` to `end_s`.

    Args:
        seed: the same arguments give the same trace.
        start_s: in seconds after the clients' first window; default: 0.
        end_s: likewise; default: an hour after the start.

    Raises:
        InvalidTrace: there are no clients, a file is damaged, no client sends a request in the span, or there are too
            many requests; under strict rules also anything that is dropped or changed.
        InvalidScenario: the bounds are not 0 <= start < end.
    """
    clients = read_clients(path, unpacked_limit_bytes=unpacked_limit_bytes)
    span = _span(clients, start_s or 0.0, end_s)
    _check_count(path, clients, span)
    cleaning = Cleaning(path, rules)
    requests, senders = _superposed(clients, span, seed, cleaning)
    order = np.argsort(requests.time_ns, kind="stable")
    count = len(order)
    if not count and not cleaning.dropped:
        raise InvalidTrace(f"{path}: no client sends a request from {span}: choose another span (--start-s, --end-s)")
    kept = cleaning.clean(
        RawRows(
            row=np.arange(1, count + 1),
            prompt=requests.prompt[order],
            output=requests.output[order],
            time_ns=requests.time_ns[order],
            time_known=np.ones(count, dtype=bool),
        )
    )
    cleaning.finish()
    return Trace(
        name=path.resolve().name.split(".")[0],
        arrival_ns=kept.time_ns - kept.time_ns[0],
        prompt_tokens=kept.prompt_tokens,
        output_tokens=kept.output_tokens,
        max_new_tokens=rules.max_new_tokens,
        has_times=True,
        source=TraceSource(
            path=path.resolve().name,
            sha256=clients.sha256,
            format="servegen",
            rows_read=cleaning.rows_read,
            kept=cleaning.kept,
            dropped=dict(cleaning.dropped),
            repaired=dict(cleaning.repaired),
            examples=dict(cleaning.examples),
            transforms=(seeded(f"drawn from {senders} clients, {span}, prompts and outputs independently", seed),),
        ),
    )


def _span(clients: Clients, start_s: float, end_s: float | None) -> _Span:
    end_s = start_s + DEFAULT_SPAN_S if end_s is None else end_s
    if not 0 <= start_s < end_s:
        raise InvalidScenario(f"slice {start_s:g}s to {end_s:g}s: expected 0 <= start < end")
    first_s = clients.first_s if clients.end_s else 0.0
    return _Span(first_s + start_s, min(first_s + end_s, max(clients.end_s, first_s + start_s)))


def _check_count(path: Path, clients: Clients, span: _Span) -> None:
    expected = sum(window.rate_s * WINDOW_S for client in clients.known for window in client.within(*span))
    if expected > MOST_DRAWN:
        raise InvalidTrace(
            f"{path}: {expected:.3g} requests from {span} are more than {MOST_DRAWN:,}: choose a shorter span (--end-s)"
        )


def _superposed(clients: Clients, span: _Span, seed: int, cleaning: Cleaning) -> tuple[_Requests, int]:
    """The requests of all clients that have lengths, and the number of these clients; others are counted as dropped."""
    parts = [_Requests(np.empty(0, dtype=np.int64), np.empty(0), np.empty(0))]
    senders, lost, elsewhere = set(), dict[Client, int](), dict[str, Finding]()
    for client in clients.known:
        for window in client.within(*span):
            time_ns = _times_ns(window, _stream(streams.CLIENT_ARRIVALS, seed, client, window))
            inside = (time_ns >= round(span.start_s * NS)) & (time_ns < round(span.end_s * NS))
            count = int(inside.sum())
            lengths = client.lengths_at(window.start_s)
            if lengths is None:
                lost[client] = lost.get(client, 0) + count
            else:
                prompt = lengths.prompt.draw(len(inside), _stream(streams.CLIENT_PROMPTS, seed, client, window))
                output = lengths.output.draw(len(inside), _stream(streams.CLIENT_OUTPUTS, seed, client, window))
                parts.append(_Requests(time_ns[inside], prompt[inside], output[inside]))
                senders.add(client.number)
                _note_elsewhere(elsewhere, lengths.instead_of, client, count)
    dropped = [*clients.findings.values(), *_of_lost(lost, span)]
    cleaning.rows_read += sum(finding.rows for finding in dropped)
    cleaning.note(dropped, list(elsewhere.values()))
    return _Requests(*(np.concatenate(column) for column in zip(*parts, strict=True))), len(senders)


def _times_ns(window: Window, rng: np.random.Generator) -> Column:
    """The arrivals of a window's requests, in no particular order."""
    count = int(window.rate_s * WINDOW_S + rng.random())  # a fraction is rounded up or down at random
    gaps = _gaps(window, count, rng)
    passed = np.cumsum(gaps)
    around = (rng.random() + passed / max(float(gaps.sum()), np.finfo(float).tiny)) % 1.0
    times: Column = round(window.start_s * NS) + (around * (WINDOW_S * NS)).astype(np.int64)
    return times


def _gaps(window: Window, count: int, rng: np.random.Generator) -> Floats:
    """Gaps of the window's distribution, of any mean."""
    if window.distribution == "Gamma":
        return rng.standard_gamma(window.shape, count)
    return rng.weibull(window.shape, count)


def _stream(purpose: int, seed: int, client: Client, window: Window) -> np.random.Generator:
    return stream(seed, purpose, client.number, int(window.start_s))


def _note_elsewhere(findings: dict[str, Finding], why: str, client: Client, count: int) -> None:
    if why:
        reason = f"{why}_taken_from_another_window"
        before = findings.get(reason, Finding(reason, 0, 0, f"client {client.number}"))
        findings[reason] = before._replace(rows=before.rows + count)


def _of_lost(lost: dict[Client, int], span: _Span) -> list[Finding]:
    """The finding about requests of clients that have no lengths."""
    requests = sum(lost.values())
    if not requests:
        return []
    first, others = next(iter(lost)), len(lost) - 1
    more = f" with {others} more" if others else ""
    rate_s = requests / (span.end_s - span.start_s)
    example = f"client {first.number}: {first.without}; {rate_s:.3g} requests/s{more}"
    return [Finding("client_without_lengths", requests, 0, example)]
