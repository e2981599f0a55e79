"""The requests of a run, read back from its record."""

from ..workloads import TURN_COLUMNS, Trace, TraceSource, Turns
from .run import Columns, Run


def requests_of(run: Run) -> Trace:
    """The requests as they were before the run. Compare their hash with `run.json` to see whether they belong to it."""
    told, requests, turns = run.info.scenario.trace, run.requests, _turns(run.requests)
    return Trace(
        name=told.name,
        arrival_ns=requests["arrival_ns"] if turns is None else requests["arrival_ns"][turns.first_of_loop()],
        prompt_tokens=requests["prompt_tokens"],
        output_tokens=requests["output_tokens"],
        max_new_tokens=told.max_new_tokens,
        has_times=True,
        source=TraceSource(
            path=told.file,
            sha256=told.file_sha256,
            format=told.format,
            rows_read=told.rows_read,
            kept=told.requests,
            dropped=told.dropped,
            repaired=told.repaired,
            transforms=told.transforms,
        ),
        turns=turns,
    )


def _turns(requests: Columns) -> Turns | None:
    return Turns(*(requests[name] for name in TURN_COLUMNS)) if TURN_COLUMNS[0] in requests else None
