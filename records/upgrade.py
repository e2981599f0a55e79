"""Records of older versions in today's form. Readers upgrade the decoded JSON before they check its types."""

from typing import Any

from .run import SCHEMA

_AS_RECORDED = "as recorded: "
"""In schema 1, the step-time model of a parity check began with these words."""


def upgrade_run(content: Any) -> Any:
    """The content of a `run.json` of schema 1, in the form of `SCHEMA`. Anything else is returned as it is."""
    if not _is_first(content):
        return content
    scenario, summary = content.get("scenario"), content.get("summary")
    if isinstance(scenario, dict):
        _upgrade_step_time(scenario)
    if isinstance(summary, dict):
        upgrade_summary(summary)
    return content | {"schema": SCHEMA}


def upgrade_sweep(content: Any) -> Any:
    """The content of a `sweep.json`: its summaries get what older versions did not keep."""
    for policy in _parts(content, "policies"):
        for point in _parts(policy, "points"):
            summary, attainment = point.get("summary"), point.get("attainment")
            if not isinstance(summary, dict):
                continue
            if _lacks_attainment(summary) and isinstance(attainment, int | float):
                summary["attainment"] = attainment  # the formula below fails here: requests are a sum over the seeds
            upgrade_summary(summary)
    return content


def upgrade_summary(summary: dict[str, Any]) -> None:
    """Add the attainment to a summary that lacks it: the share of the requests that kept the SLO.

    Goodput times makespan is the number of these requests. Old versions wrote -1 where the attainment was unknown.
    """
    goodput, makespan_s, requests = (summary.get(name) for name in ("goodput_req_s", "makespan_s", "requests"))
    if not (
        _lacks_attainment(summary)
        and isinstance(goodput, int | float)
        and isinstance(makespan_s, int | float)
        and isinstance(requests, int)
    ):
        return
    try:
        kept = round(goodput * makespan_s)
    except (OverflowError, ValueError):
        return  # not a finite number
    summary["attainment"] = min(max(kept / requests, 0.0), 1.0) if requests > 0 else 0.0


def _is_first(content: Any) -> bool:
    return isinstance(content, dict) and type(content.get("schema")) is int and content["schema"] == 1


def _lacks_attainment(summary: dict[str, Any]) -> bool:
    attainment = summary.get("attainment", -1)
    return isinstance(attainment, int | float) and attainment < 0


def _upgrade_step_time(scenario: dict[str, Any]) -> None:
    step_time = scenario.get("step_time")
    if isinstance(step_time, str) and step_time.startswith(_AS_RECORDED):
        scenario["step_time"] = step_time.removeprefix(_AS_RECORDED)
        scenario["recorded_times"] = True


def _parts(content: Any, name: str) -> list[dict[str, Any]]:
    parts = content.get(name) if isinstance(content, dict) else None
    return [each for each in parts if isinstance(each, dict)] if isinstance(parts, list) else []
