"""Collects what happens in a run, for simulated and real runs alike, as the columns of the record."""

from array import array
from collections.abc import Sequence

import numpy as np

from .csrc import STEP_RECORD_FIELDS, StepPlan
from .records import EVENTS, STATUSES, STEP_EVENTS, Columns

_FINISHED, _REJECTED, _FAILED, _ABORTED = (STATUSES.index(s) for s in STATUSES)
_NONE, _OOM, _PREEMPT, _REJECT = (STEP_EVENTS.index(s) for s in ("none", "oom", "preempt", "reject"))
_CLOCK_FIELDS = (
    "plan_ns",
    "start_ns",
    "duration_ns",
    "vram_used_bytes",
    "vram_budget_bytes",
    "event",
)
_COMPUTED = ("steps", "prefill_tokens", "decode_rows", "context_tokens", "padding_tokens")
STEP_FIELDS = (*STEP_RECORD_FIELDS, *_CLOCK_FIELDS)


class Recorder:
    """One run's record in the making.

    Args:
        requests: how many requests the trace has; a request's id is its row in the trace.
        budget_bytes: the VRAM budget of the run.
    """

    def __init__(self, requests: int, budget_bytes: int) -> None:
        self.budget_bytes = budget_bytes
        self.ended = 0
        self.ooms = 0
        self._status = [_ABORTED] * requests
        self._reasons: dict[int, str] = {}
        self._admitted_ns = [-1] * requests
        self._first_token_ns = [-1] * requests
        self._finish_ns = [-1] * requests
        self._preemptions = [0] * requests
        self._recomputed = [0] * requests
        self._steps = array("q")
        self._events: list[tuple[int, int, int, int]] = []
        self._step_event = _NONE
        self._facts = dict.fromkeys(STEP_RECORD_FIELDS, 0)
        self._vram_used = 0

    def rejected(self, request: int, now_ns: int, reason: str) -> None:
        """A request that can never be served, turned away when it arrived."""
        self._end(request, _REJECTED, reason)
        self._event(now_ns, request, "reject", 0)
        self._step_event = _REJECT

    def planned(self, plan: StepPlan) -> None:
        """What a plan changed before any of its steps ran."""
        for evicted in plan.evicted:
            self._preemptions[evicted.id] += evicted.lost_tokens > 0
            self._recomputed[evicted.id] += evicted.lost_tokens
            if evicted.lost_generated:
                self._first_token_ns[evicted.id] = -1  # nobody got the tokens of a batch that failed
            if evicted.lost_tokens:
                self._event(plan.plan_ns, evicted.id, "preempt", evicted.freed_bytes)
                self._step_event = _PREEMPT
        for failed in plan.failed:
            reason = "out of memory alone" if failed.alone_in_step else "outgrew the KV pool"
            self._end(failed.id, _FAILED, f"{reason}: needed {failed.needed_bytes} bytes")
            self._event(plan.plan_ns, failed.id, "fail", failed.needed_bytes)
        for request in plan.admitted:
            if self._admitted_ns[request] < 0:
                self._admitted_ns[request] = plan.plan_ns

    def ran(
        self, plan: StepPlan, facts: Sequence[int], vram_used_bytes: int, end_ns: int, finished: Sequence[int]
    ) -> None:
        """Steps that ran to their end; `facts` is what the core's commit returned for them."""
        for joined in plan.joined:
            if joined.generated > 1:
                self._event(end_ns, joined.id, "resume", 0)
            else:
                self._first_token_ns[joined.id] = end_ns
        for request in finished:
            self._finish_ns[request] = end_ns
            self._end(request, _FINISHED, "")
        self._facts = dict(zip(STEP_RECORD_FIELDS, facts, strict=True))
        self._step(plan.plan_ns, facts, vram_used_bytes, end_ns)

    def ran_out_of_memory(self, plan: StepPlan, needed_bytes: int, end_ns: int) -> None:
        """A step that had no effect since its memory was not there; its newest request is named."""
        victim = (plan.prefill[-1].id if plan.prefill else plan.decode[-1]) if plan.horizon else -1
        self.ooms += 1
        self._event(end_ns, victim, "oom", needed_bytes)
        self._step_event = _OOM
        # What was held before is held still; nothing was computed.
        facts = self._facts | dict.fromkeys(_COMPUTED, 0)
        facts |= {"kv_start_bytes": facts["kv_bytes"], "step": plan.step, "ticket": plan.ticket}
        facts |= {"predicted_bytes": needed_bytes, "blocked_by": int(plan.blocked_by)}
        self._step(plan.plan_ns, list(facts.values()), self._vram_used, end_ns)

    def _step(self, start_ns: int, facts: Sequence[int], vram_used_bytes: int, end_ns: int) -> None:
        self._vram_used = vram_used_bytes
        self._steps.extend(facts)
        self._steps.extend(
            (start_ns, start_ns, end_ns - start_ns, vram_used_bytes, self.budget_bytes, self._step_event)
        )
        self._step_event = _NONE

    def _end(self, request: int, status: int, reason: str) -> None:
        assert self._status[request] == _ABORTED, f"request {request} ended twice"
        self._status[request] = status
        self.ended += 1
        if reason:
            self._reasons[request] = reason

    def _event(self, now_ns: int, request: int, event: str, size: int) -> None:
        self._events.append((now_ns, request, EVENTS.index(event), size))

    def requests(self) -> Columns:
        """What became of every request; the columns that the trace does not have."""
        return {
            "status": np.array(self._status, dtype=np.int8),
            "reason": np.array([self._reasons.get(i, "") for i in range(len(self._status))], dtype=object),
            "admitted_ns": np.array(self._admitted_ns, dtype=np.int64),
            "first_token_ns": np.array(self._first_token_ns, dtype=np.int64),
            "finish_ns": np.array(self._finish_ns, dtype=np.int64),
            "preemptions": np.array(self._preemptions, dtype=np.int64),
            "recomputed_tokens": np.array(self._recomputed, dtype=np.int64),
        }

    def steps(self) -> Columns:
        """One row a step or macro-step, and one for each step that ran out of memory (steps = 0)."""
        table = np.frombuffer(self._steps, dtype=np.int64).reshape(-1, len(STEP_FIELDS))
        return {name: table[:, i].copy() for i, name in enumerate(STEP_FIELDS)}

    def events(self) -> Columns:
        """Evictions, resumptions, rejections, failures and out-of-memory steps, in order of time."""
        table = np.array(self._events, dtype=np.int64).reshape(-1, 4)
        return dict(zip(("t_ns", "request", "event", "bytes"), table.T.copy(), strict=True))
