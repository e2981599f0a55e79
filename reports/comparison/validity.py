"""Can it be trusted? What a reader would ask of a comparison, answered one by one."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from ...records import Run, RunInfo
from ...records.metrics import averaged, makespan_ns
from ..judging.contest import case_of, on_common_seeds
from ..judging.differences import differences
from ..judging.verdict import labels_of, summary_of
from ..numbers import ENOUGH_FOR_P99, three_digits
from ..validation.validation import LIMITS

KEEPS_UP = 0.9
"""A system that finishes less than this share of what is asked of it is overloaded, and its latencies grow as long as
requests come."""

_OF_A_KIND = {"kind", "step_time"}
_STEP_LIMITS = (LIMITS["step median"], LIMITS["step p95"])
_STEP_ERRORS = re.compile(r"([\d.]+)% in the median, ([\d.]+)% at p95")  # as a profile describes itself


class Trust(Enum):
    """Of a question. The worst one is that of the whole."""

    PASS = "pass"
    INCONCLUSIVE = "inconclusive"
    FAIL = "fail"

    @property
    def icon(self) -> str:
        """A sign beside the word."""
        return {"pass": "✔", "inconclusive": "?", "fail": "✖"}[self.value]


@dataclass(frozen=True, slots=True)
class Answer:
    """One of them, in a sentence."""

    outcome: Trust
    text: str


def validity(runs: Sequence[Run], replicates: Sequence[Sequence[RunInfo]]) -> list[Answer]:
    """All answers for runs that are compared with each other. `replicates`: of each run those of all seeds, itself too.

    What is asked of settings, arrivals and lateness is asked of the first seed.
    """
    infos = [run.info for run in runs]
    own = [info for info in infos if not info.is_planned_again]
    return [
        *_origin(own),
        *_planned_again(infos),
        *_settings(own),
        *_completeness(replicates),
        *_arrivals(runs),
        *_punctuality(infos),
        _sample(replicates),
        _repetition(replicates),
        Answer(Trust.PASS, "Nothing is cut as warm-up: figures are from the first arrival to the last finish."),
        Answer(Trust.PASS, "Prefix caching is in none of the runs."),
    ]


def worst(answers: Sequence[Answer]) -> Trust:
    """Of all of them."""
    found = {answer.outcome for answer in answers}
    return next((each for each in (Trust.FAIL, Trust.INCONCLUSIVE) if each in found), Trust.PASS)


def _origin(infos: Sequence[RunInfo]) -> list[Answer]:
    simulated = sorted({info.scenario.step_time for info in infos if info.kind == "simulated"})
    measured = sorted({info.scenario.step_time for info in infos if info.kind != "simulated"})
    answers = [Answer(Trust.PASS, f"Measured: {text}.") for text in measured]
    return answers + [simulated_as(text) for text in simulated]


def simulated_as(step_time: str) -> Answer:
    """What a simulation with this step-time model is worth."""
    doubt = _doubt(step_time)
    told = f"Simulated, not measured. Step durations: {step_time}.{doubt}"
    return Answer(Trust.INCONCLUSIVE if doubt else Trust.PASS, told)


def _planned_again(infos: Sequence[RunInfo]) -> list[Answer]:
    """Whether the plans of simulations with a measurement's own times are those of the measurement."""
    answers = []
    for label, info in zip(labels_of(infos), infos, strict=True):
        if not info.is_planned_again:
            continue
        hashes = [each.plan_hash for each in infos if each.kind == "real" and case_of(each) == case_of(info)]
        outcome, plans = Trust.PASS, "the measurement is not here"
        if info.plan_hash in hashes:
            plans = "the plans agree"
        elif hashes:
            outcome, plans = Trust.FAIL, "the plans differ"
        text = f"{label} is planned again with recorded times: {plans} (hash {info.plan_hash}), it predicts nothing."
        answers.append(Answer(outcome, text))
    return answers


def _doubt(step_time: str) -> str:
    """Of a step-time model that was not calibrated, or by its own errors misses what is asked of steps."""
    rankings = " Rankings between policies are then more trustworthy than absolute times."
    found = _STEP_ERRORS.search(step_time)
    if found is None:
        return rankings
    errors = [float(each) / 100 for each in found.groups()]
    if all(error <= limit for error, limit in zip(errors, _STEP_LIMITS, strict=True)):
        return ""
    median, p95 = (f"{100 * limit:g} %" for limit in _STEP_LIMITS)
    return f" That is more than {median} in the median or {p95} at p95.{rankings}"


def _settings(infos: Sequence[RunInfo]) -> list[Answer]:
    if len(infos) < 2:
        return []
    found = [name for name, _ in differences(infos)]
    memory = [name for name in found if name.startswith("memory.")]
    if "kind" in found and set(found) <= {*_OF_A_KIND, *memory}:
        text = "Some runs are simulated and some measured: their difference is the simulation's error, or the policy's"
        parts = f", or that of their memory ({', '.join(memory)})" if memory else ""
        return [Answer(Trust.INCONCLUSIVE, f"{text}{parts}.")]
    if found:
        return [Answer(Trust.FAIL, f"The runs differ in more than the policy: {', '.join(found)}.")]
    return [Answer(Trust.PASS, "The runs differ in nothing but the policy: same requests, device and limits.")]


def _completeness(replicates: Sequence[Sequence[RunInfo]]) -> list[Answer]:
    answers = []
    for label, group in zip(labels_of([group[0] for group in replicates]), replicates, strict=True):
        s = averaged([summary_of(info) for info in group])
        interrupted = sum(not info.complete for info in group)
        lost = [f"{count:,} {name}" for name in ("rejected", "failed", "aborted") if (count := getattr(s, name))]
        if interrupted:
            where = f" on {interrupted} of {len(group)} seeds" if len(group) > 1 else ""
            text = f"{label} is INCOMPLETE{where}: it was interrupted, its figures are of what had run by then."
            answers.append(Answer(Trust.FAIL, text))
        if lost:
            outcome = Trust.FAIL if s.failed or s.aborted or not s.finished else Trust.INCONCLUSIVE
            answers.append(Answer(outcome, f"{label}: {', '.join(lost)} of {s.requests:,} requests."))
    return answers or [Answer(Trust.PASS, "All runs came to their end, and every request finished.")]


def _arrivals(runs: Sequence[Run]) -> list[Answer]:
    """Whether what was finished kept up with what was asked, but for what was rejected: nobody waits for that."""
    trace = runs[0].info.scenario.trace
    if trace.waiting:
        text = f"A closed loop: {trace.waiting:,} of {trace.requests:,} requests come when another has ended"
        return [Answer(Trust.PASS, f"{text}, later under a slower policy; no rate is asked for.")]
    arrival_ns = runs[0].requests["arrival_ns"]
    span_s = int(arrival_ns.max() - arrival_ns.min()) / 1e9 if len(arrival_ns) else 0.0
    if not span_s:
        return [Answer(Trust.PASS, "All requests are there from the start: no rate is asked for.")]
    asked = (len(arrival_ns) - 1) / span_s
    summaries = [summary_of(run.info) for run in runs]
    behind = []
    for label, run, s in zip(labels_of([run.info for run in runs]), runs, summaries, strict=True):
        seconds = makespan_ns(run) / 1e9
        achieved = s.finished / seconds if seconds else 0.0
        if achieved < KEEPS_UP * asked * (1 - s.rejected / s.requests):
            behind.append(f"{label} finishes {three_digits(achieved)}")
    if behind:
        text = f"Asked for {three_digits(asked)} requests/s; {', '.join(behind)}: overloaded"
        return [Answer(Trust.INCONCLUSIVE, f"{text}, latencies there grow as long as requests come.")]
    aside = ", rejected ones aside" if any(s.rejected for s in summaries) else ""
    text = f"All runs keep up with the {three_digits(asked)} requests/s that are asked for{aside}."
    return [Answer(Trust.PASS, text)]


def _punctuality(infos: Sequence[RunInfo]) -> list[Answer]:
    answers = []
    for label, info in zip(labels_of(infos), infos, strict=True):
        machine = info.machine
        if machine is None:
            continue
        late = f"{label}: requests were handed over {machine.schedule_lag_p99_s * 1e3:.2f} ms late (p99)"
        if machine.degraded:
            answers.append(Answer(Trust.FAIL, f"{late}: DEGRADED, this is not the load that was asked for."))
        else:
            answers.append(Answer(Trust.PASS, f"{late}."))
    return answers


def _sample(replicates: Sequence[Sequence[RunInfo]]) -> Answer:
    few = min(summary_of(info).finished for group in replicates for info in group)
    if few < ENOUGH_FOR_P99:
        text = f"p99 figures are withheld: {few:,} requests finished, {ENOUGH_FOR_P99} are wanted."
        return Answer(Trust.INCONCLUSIVE, text)
    return Answer(Trust.PASS, f"{few:,} requests finished, enough for p99 ({ENOUGH_FOR_P99}).")


def _repetition(replicates: Sequence[Sequence[RunInfo]]) -> Answer:
    seeds = set.intersection(*({info.seed for info in group} for group in on_common_seeds(replicates)))
    if len(seeds) > 1:
        return Answer(
            Trust.PASS, f"{len(seeds)} seeds, the same requests for every policy: differences carry an interval."
        )
    which = f"One seed ({min(seeds)})" if seeds else "No seed is common to all runs"
    return Answer(Trust.INCONCLUSIVE, f"{which}, so differences carry no interval.")
