"""Records of older versions in today's form. Readers upgrade the decoded JSON before they check its types."""

from typing import Any

from .run import SCHEMA

_AS_RECORDED = "as recorded: "
"""In schema 1, the step-time model of a parity check began with these words."""


def upgrade_run(content: Any) -> Any:
    """The content of a `run.json`, in the form of `SCHEMA`. Anything else is returned as it is."""
    if not _is_older(content):
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
            if isinstance(point.get("summary"), dict):
                upgrade_summary(point["summary"])
    return content


def upgrade_summary(summary: dict[str, Any]) -> None:
    """Add the attainment to a summary that lacks it: goodput times makespan is the number of requests that kept the
    SLO.
    """
    goodput, makespan_s, requests = (summary.get(name) for name in ("goodput_req_s", "makespan_s", "requests"))
    if "attainment" in summary or not (
        isinstance(goodput, int | float) and isinstance(makespan_s, int | float) and isinstance(requests, int)
    ):
        return
    summary["attainment"] = goodput * makespan_s / requests if requests else 0.0


def _is_older(content: Any) -> bool:
    return isinstance(content, dict) and isinstance(content.get("schema"), int) and content["schema"] < SCHEMA


def _upgrade_step_time(scenario: dict[str, Any]) -> None:
    step_time = scenario.get("step_time")
    if isinstance(step_time, str) and step_time.startswith(_AS_RECORDED):
        scenario["step_time"] = step_time.removeprefix(_AS_RECORDED)
        scenario["recorded_times"] = True


def _parts(content: Any, name: str) -> list[dict[str, Any]]:
    parts = content.get(name) if isinstance(content, dict) else None
    return [each for each in parts if isinstance(each, dict)] if isinstance(parts, list) else []
