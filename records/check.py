"""Checks that the four files of a run folder belong to one run, so that readers can rely on them."""

from collections.abc import Iterator

import msgspec
import numpy as np

from ..csrc import EVENTS, STATUSES, STEP_EVENTS, STEP_FIELDS
from ..workloads import TURN_COLUMNS
from .metrics import Summary, makespan_ns, running_mean
from .requests import requests_of
from .run import Columns, Run, RunInfo, known_policy

_KINDS = ("simulated", "real")
_TEXT = "reason"
_COLUMNS = {
    "requests": (
        *("id", "arrival_ns", "prompt_tokens", "output_tokens", "max_new_tokens", "status", _TEXT, "admitted_ns"),
        *("first_token_ns", "finish_ns", "preemptions", "recomputed_tokens"),
    ),
    "steps": STEP_FIELDS,
    "events": ("t_ns", "request", "event", "bytes"),
}
_LONGEST_QUOTE = 60  # characters: a quote of a damaged record stays on one line
_EVICTIONS = ("preempt", "swap-out")
_LOOP = ("ticket", *TURN_COLUMNS)
"""Further columns of a closed loop."""


def fault_of_info(info: RunInfo) -> str | None:
    """What is wrong with a `run.json` that has the right types, in words; None if nothing is."""
    if info.kind not in _KINDS:
        return f"kind is {info.kind[:_LONGEST_QUOTE]!r}, expected {' or '.join(_KINDS)}"
    if known_policy(info.policy) is None:
        return f"policy {info.policy[:_LONGEST_QUOTE]!r} is unknown to this version"
    try:
        summary = msgspec.convert(info.summary, Summary)
    except msgspec.ValidationError as error:
        return f"its summary is not valid: {error}"
    if not 0 <= summary.attainment <= 1:
        return f"its attainment is {summary.attainment:g}, expected 0 to 1"
    return None


def fault_of(run: Run) -> str | None:
    """What is wrong with the tables, or contradicts `run.json`, in words; None if nothing does."""
    return next(_faults(run), None)


def _faults(run: Run) -> Iterator[str]:
    """All faults, in order. Each check relies on the checks before it."""
    for name, expected in _COLUMNS.items():
        columns: Columns = getattr(run, name)
        loop = _LOOP if name == "requests" and any(each in columns for each in _LOOP) else ()
        if lacking := [each for each in (*expected, *loop) if each not in columns]:
            yield f"{name}.parquet has no column {', '.join(lacking)}"
        for each in (*expected, *loop):
            if each != _TEXT and not np.issubdtype(columns[each].dtype, np.integer):
                yield f"{name}.parquet: column {each} has values that are not whole numbers"
    yield from _requests_of_another_run(run)
    count = len(run.requests["id"])
    told = run.events["request"][run.events["event"] != EVENTS.index("budget")]
    if len(told) and not -1 <= told.min() <= told.max() < count:
        yield f"events.parquet is of another run: it names request {int(told.max()):,} of {count:,}"
    if (seen := int(run.steps["ticket"].max(initial=-1)) + 1) > count:
        yield f"steps.parquet is of another run: it has {seen:,} of {count:,} requests"
    yield from _results_of_another_run(run)


def _requests_of_another_run(run: Run) -> Iterator[str]:
    told, requests = run.info.scenario.trace, run.requests
    here = len(requests["id"])
    if here != told.requests:
        yield f"requests.parquet is of another run: it has {here:,} requests, run.json {told.requests:,}"
    if TURN_COLUMNS[0] in requests:
        before, waits = requests["after_id"], requests["think_ns"] >= 0
        if not ((before >= np.where(waits, 0, -1)) & (before < np.arange(here))).all():
            yield "requests.parquet: a request waits for a request that is not before it"
    if requests_of(run).content_hash != told.content_hash:
        yield "requests.parquet is of another run: its requests are not those of run.json"


def _results_of_another_run(run: Run) -> Iterator[str]:
    """Compare the tables with those figures of the summary that rarely agree between two runs of the same requests."""
    s = msgspec.convert(run.info.summary, Summary)
    r, steps, events = run.requests, run.steps, run.events["event"]
    figures: dict[str, list[tuple[str, float, float]]] = {
        "requests": [
            *((name, int((r["status"] == code).sum()), getattr(s, name)) for code, name in enumerate(STATUSES)),
            ("preemptions", int(r["preemptions"].sum()), s.preemptions),
            ("makespan", makespan_ns(run) / 1e9, s.makespan_s),
        ],
        "steps": [
            ("peak VRAM", int(steps["vram_used_bytes"].max(initial=0)), s.peak_vram_bytes),
            ("requests that ran on average", running_mean(run), s.running_mean),
            ("out-of-memory steps", int((steps["event"] == STEP_EVENTS.index("oom")).sum()), s.ooms),
        ],
        "events": [
            ("rejections", int((events == EVENTS.index("reject")).sum()), s.rejected),
            ("failures", int((events == EVENTS.index("fail")).sum()), s.failed),
            ("evictions", int(np.isin(events, [EVENTS.index(each) for each in _EVICTIONS]).sum()), s.preemptions),
            ("out-of-memory steps", int((events == EVENTS.index("oom")).sum()), s.ooms),
        ],
    }
    for name, compared in figures.items():
        for what, here, there in compared:
            if here != there:
                yield f"{name}.parquet is of another run: {what}: {here:,} in it, {there:,} in run.json"
