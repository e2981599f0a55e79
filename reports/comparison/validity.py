"""Can a comparison be trusted? The questions of a critical reader, each with its answer."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from ...records import Run, RunInfo
from ...records.metrics import averaged, makespan_ns, summary_of
from ..judging.cases import case_of, on_common_seeds
from ..judging.contender import labels_of
from ..judging.differences import differences
from ..numbers import ENOUGH_FOR_P99, listed, three_digits
from ..validation.validation import LIMITS

KEEPS_UP = 0.9
"""If a system finishes less than this share of the requests per second that arrive, it is overloaded: its latencies
grow as long as requests arrive."""

_OF_A_KIND = {"kind", "step_time"}
_STEP_LIMITS = (LIMITS["step median"], LIMITS["step p95"])
_STEP_ERRORS = re.compile(r"([\d.]+)% in the median, ([\d.]+)% at p95")  # as a profile describes itself


class Trust(Enum):
    """The result of a question. The worst answer decides for the whole report."""

    PASS = "pass"
    INCONCLUSIVE = "inconclusive"
    FAIL = "fail"

    @property
    def icon(self) -> str:
        """A sign that stands beside the word."""
        return {"pass": "✔", "inconclusive": "?", "fail": "✖"}[self.value]


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to one question, in a sentence."""

    outcome: Trust
    text: str


def validity(runs: Sequence[Run], replicates: Sequence[Sequence[RunInfo]]) -> list[Answer]:
    """All answers for a comparison. Settings, arrivals and lateness are checked on the first seed only.

    Args:
        replicates: for each run the records of all its seeds, including its own.
    """
    infos = [run.info for run in runs]
    own = [info for info in infos if not info.is_parity_check]
    return [
        *_origin(own),
        *_parity_checks(infos),
        *_settings(own),
        *_completeness(replicates),
        *_arrivals(runs),
        *_punctuality(infos),
        _sample(replicates),
        _repetition(replicates),
        Answer(Trust.PASS, "No warm-up is cut off: figures cover the time from the first arrival to the last finish."),
        Answer(Trust.PASS, "No run uses prefix caching."),
    ]


def worst(answers: Sequence[Answer]) -> Trust:
    """The worst of all answers."""
    found = {answer.outcome for answer in answers}
    return next((each for each in (Trust.FAIL, Trust.INCONCLUSIVE) if each in found), Trust.PASS)


def _origin(infos: Sequence[RunInfo]) -> list[Answer]:
    simulated = sorted({info.scenario.step_time for info in infos if info.kind == "simulated"})
    measured = sorted({info.scenario.step_time for info in infos if info.kind != "simulated"})
    answers = [Answer(Trust.PASS, f"Measured: {text}.") for text in measured]
    return answers + [simulated_as(text) for text in simulated]


def simulated_as(step_time: str) -> Answer:
    """How far a simulation with this step-time model can be trusted."""
    doubt = _doubt(step_time)
    told = f"Simulated, not measured. Step durations: {step_time}.{doubt}"
    return Answer(Trust.INCONCLUSIVE if doubt else Trust.PASS, told)


def _parity_checks(infos: Sequence[RunInfo]) -> list[Answer]:
    """Whether each parity check made the same plans as the run that it repeats."""
    answers = []
    for label, info in zip(labels_of(infos), infos, strict=True):
        if not info.is_parity_check:
            continue
        hashes = [each.plan_hash for each in infos if each.kind == "real" and case_of(each) == case_of(info)]
        outcome, plans = Trust.PASS, "that run is not in this comparison"
        if info.plan_hash in hashes:
            plans = "the plans agree"
        elif hashes:
            outcome, plans = Trust.FAIL, "the plans differ"
        text = f"It repeats a real run with the step times measured there: {plans} (hash {info.plan_hash})."
        answers.append(Answer(outcome, f"{label} is a parity check. {text}"))
    return answers


def _doubt(step_time: str) -> str:
    """The doubt about a step-time model that is not calibrated, or whose errors exceed the limits for steps."""
    rankings = " So trust the ranking of the policies more than the absolute times."
    found = _STEP_ERRORS.search(step_time)
    if found is None:
        return rankings
    errors = [float(each) / 100 for each in found.groups()]
    if all(error <= limit for error, limit in zip(errors, _STEP_LIMITS, strict=True)):
        return ""
    median, p95 = (f"{100 * limit:g} %" for limit in _STEP_LIMITS)
    return f" These errors exceed the limits of {median} in the median or {p95} at p95.{rankings}"


def _settings(infos: Sequence[RunInfo]) -> list[Answer]:
    if len(infos) < 2:
        return []
    found = [name for name, _ in differences(infos)]
    memory = [name for name in found if name.startswith("memory.")]
    if "kind" in found and set(found) <= {*_OF_A_KIND, *memory}:
        causes = ["the policy", "the error of the simulation"]
        causes += [f"their memory ({', '.join(memory)})"] if memory else []
        text = f"Some runs are simulated and some are measured: they can differ because of {listed(causes, 'or')}."
        return [Answer(Trust.INCONCLUSIVE, text)]
    if found:
        return [Answer(Trust.FAIL, f"The runs differ in more than the policy: {', '.join(found)}.")]
    return [Answer(Trust.PASS, "The runs differ only in the policy: they have the same requests, device and limits.")]


def _completeness(replicates: Sequence[Sequence[RunInfo]]) -> list[Answer]:
    answers = []
    for label, group in zip(labels_of([group[0] for group in replicates]), replicates, strict=True):
        s = averaged([summary_of(info) for info in group])
        interrupted = sum(not info.complete for info in group)
        lost = [f"{count:,} {name}" for name in ("rejected", "failed", "aborted") if (count := getattr(s, name))]
        if interrupted:
            where = f" on {interrupted} of {len(group)} seeds" if len(group) > 1 else ""
            text = f"{label} is INCOMPLETE{where}: it was interrupted, and its figures cover what had run by then."
            answers.append(Answer(Trust.FAIL, text))
        if lost:
            outcome = Trust.FAIL if s.failed or s.aborted or not s.finished else Trust.INCONCLUSIVE
            answers.append(Answer(outcome, f"{label}: {', '.join(lost)} of {s.requests:,} requests."))
    return answers or [Answer(Trust.PASS, "All runs are complete, and every request finished.")]


def _arrivals(runs: Sequence[Run]) -> list[Answer]:
    """Whether the runs finish requests as fast as they arrive. Rejected requests do not count: they never wait."""
    trace = runs[0].info.scenario.trace
    if trace.waiting:
        text = f"Closed loop: {trace.waiting:,} of {trace.requests:,} requests arrive when another request has ended"
        return [Answer(Trust.PASS, f"{text}, later under a slower policy. No rate is given to keep up with.")]
    arrival_ns = runs[0].requests["arrival_ns"]
    span_s = int(arrival_ns.max() - arrival_ns.min()) / 1e9 if len(arrival_ns) else 0.0
    if not span_s:
        return [Answer(Trust.PASS, "All requests arrive at the start, so no rate is given to keep up with.")]
    asked = (len(arrival_ns) - 1) / span_s
    summaries = [summary_of(run.info) for run in runs]
    behind = []
    for label, run, s in zip(labels_of([run.info for run in runs]), runs, summaries, strict=True):
        seconds = makespan_ns(run) / 1e9
        achieved = s.finished / seconds if seconds else 0.0
        if achieved < KEEPS_UP * asked * (1 - s.rejected / s.requests):
            behind.append(f"{label} finishes {three_digits(achieved)}")
    if behind:
        text = f"{three_digits(asked)} requests/s arrive; {', '.join(behind)}. This is overload"
        return [Answer(Trust.INCONCLUSIVE, f"{text}: the latencies grow as long as requests arrive.")]
    aside = ", rejected requests aside" if any(s.rejected for s in summaries) else ""
    return [Answer(Trust.PASS, f"All runs keep up with the {three_digits(asked)} requests/s that arrive{aside}.")]


def _punctuality(infos: Sequence[RunInfo]) -> list[Answer]:
    answers = []
    for label, info in zip(labels_of(infos), infos, strict=True):
        machine = info.machine
        if machine is None:
            continue
        late = f"{label}: requests were submitted {machine.schedule_lag_p99_s * 1e3:.2f} ms late (p99)"
        if machine.degraded:
            answers.append(Answer(Trust.FAIL, f"{late}. DEGRADED: the device did not get the load of the trace."))
        else:
            answers.append(Answer(Trust.PASS, f"{late}."))
    return answers


def _sample(replicates: Sequence[Sequence[RunInfo]]) -> Answer:
    few = min(summary_of(info).finished for group in replicates for info in group)
    if few < ENOUGH_FOR_P99:
        text = f"p99 figures are withheld: {few:,} requests finished, and a p99 needs {ENOUGH_FOR_P99}."
        return Answer(Trust.INCONCLUSIVE, text)
    return Answer(Trust.PASS, f"{few:,} requests finished: enough for a p99, which needs {ENOUGH_FOR_P99}.")


def _repetition(replicates: Sequence[Sequence[RunInfo]]) -> Answer:
    seeds = set.intersection(*({info.seed for info in group} for group in on_common_seeds(replicates)))
    if len(seeds) > 1:
        return Answer(
            Trust.PASS,
            f"{len(seeds)} seeds, the same requests for every policy: differences have an interval.",
        )
    which = f"One seed ({min(seeds)})" if seeds else "No seed is common to all runs"
    return Answer(Trust.INCONCLUSIVE, f"{which}, so differences have no interval.")
