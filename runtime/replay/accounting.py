"""Sums over the steps of a replay: busy and idle time, peaks of memory, and the budget that is left."""

from ...csrc import MemoryModel, StepPlan, StepRecord
from ..memory.vram import Monitor


class Accounting:
    """Adds up steps in the order in which they ended.

    Args:
        memory: predicts the activations of a step.

    Attributes:
        steps: how many were added.
        tokens: computed in them, prompts and outputs.
        last_ns: when the last step ended.
        predicted_peak_bytes, measured_peak_bytes: the most that a step was predicted to hold, and held.
        predicted_temporary_bytes: the most that the tensors of a step were predicted to take.
    """

    def __init__(self, memory: MemoryModel) -> None:
        self._memory = memory
        self._first_ns = self._busy_ns = self._idle_ns = 0
        self.steps = self.tokens = self.last_ns = 0
        self.predicted_peak_bytes = self.measured_peak_bytes = self.predicted_temporary_bytes = 0

    def add(
        self, plan: StepPlan, facts: StepRecord, *, peak_bytes: int, start_ns: int, end_ns: int, was_idle: bool
    ) -> None:
        """Add one step.

        Args:
            was_idle: before the step there was nothing to compute, so the gap before it is not the host's.
        """
        if self.steps == 0:
            self._first_ns = self.last_ns = start_ns
        if not was_idle:
            self._idle_ns += max(start_ns - self.last_ns, 0)
        self._busy_ns += end_ns - max(start_ns, self.last_ns)
        self.last_ns = end_ns
        self.steps += 1
        work = plan.work
        self.tokens += work.prefill_tokens + work.decode_rows
        activation = self._memory.activation(
            prefill_tokens=work.prefill_tokens, decode_rows=work.decode_rows, sampled_rows=work.sampled_rows
        )
        self.predicted_temporary_bytes = max(self.predicted_temporary_bytes, activation.bytes)
        self.predicted_peak_bytes = max(self.predicted_peak_bytes, facts.predicted_bytes)
        self.measured_peak_bytes = max(self.measured_peak_bytes, peak_bytes)

    @property
    def busy_share(self) -> float:
        """The share of the run, from the first step to the end of the last, during which the device computed."""
        return self._busy_ns / max(self.last_ns - self._first_ns, 1)

    @property
    def host_gap_s(self) -> float:
        """The average gap before a step while there was work: the device waited for the host."""
        return self._idle_ns / 1e9 / max(self.steps, 1)


def budget_left(memory: MemoryModel, monitor: Monitor) -> int:
    """The budget now, in bytes: that of the run, but not more than other processes leave of the device.

    It never falls below what one block of KV cache needs beside all that is fixed.
    """
    left = monitor.left_bytes
    budget = memory.budget_bytes if left is None else min(memory.budget_bytes, left)
    return max(budget, memory.fixed_bytes + memory.activation_reserve_bytes + memory.block_bytes)
