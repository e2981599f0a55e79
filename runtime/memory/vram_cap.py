"""Keeps the process under its cap: what is fixed, what the pool takes, and what torch may still allocate.

On a GPU the limits are real: the pool's memory comes from the driver piece by piece, torch's allocator is told what is
left, and a step that does not fit raises. On a CPU, whose memory is not the question, a step is held against the
prediction instead.
"""

from collections.abc import Callable

import torch

from ...csrc import MemoryModel, StepPlan
from ..machine import Machine
from .kv_pool import KvPool, OutOfVram

_GROWTH_BYTES = 256 << 20
"""The pool grows in steps of this size, as requests need it: what nobody holds stays free for others."""


class VramCap:
    """One run's memory.

    Args:
        cap_bytes: all that the process may hold.
        fixed_bytes: what it holds before the first step: weights, context, graphs, workspaces.
        blind: the policy does not look at memory: its pool may take all that is left, not only the planned pool.
    """

    def __init__(
        self, machine: Machine, pool: KvPool, memory: MemoryModel, *, cap_bytes: int, fixed_bytes: int, blind: bool
    ) -> None:
        self._machine, self._pool, self._memory, self._blind = machine, pool, memory, blind
        self._cap = cap_bytes
        self._fixed = fixed_bytes
        self._release_cached()  # of the run before: what is reserved now is what stays
        self._allocated = torch.cuda.memory_allocated(machine.device) if machine.is_cuda else 0
        self._outside = fixed_bytes - (torch.cuda.memory_reserved(machine.device) if machine.is_cuda else 0)
        self.peak_bytes = fixed_bytes
        """The most that the process used at once: with blocks that nobody held, without what torch kept for later."""
        self.peak_temporary_bytes = 0
        """The most that a step's tensors took."""
        self._limit_torch()

    @property
    def pool_blocks(self) -> int:
        """As many as the pool may have."""
        free = (self._cap - self._fixed) // self._pool.block_bytes
        return min(free if self._blind else self._memory.pool_blocks, self._pool.limit_blocks)

    def held_bytes(self) -> int:
        """What is held between steps, blocks that nobody holds left out."""
        return self._fixed + self._pool.held_blocks * self._pool.block_bytes

    def set_budget(self, memory: MemoryModel) -> None:
        """Another budget: from now on; the pool gives back what is beyond it as far as nobody holds it."""
        self._memory = memory
        self._cap = memory.budget_bytes
        self._release_cached()
        self._limit_torch()
        self.trim()

    def trim(self) -> bool:
        """Give back blocks beyond the budget's, as soon as nobody holds them; whether blocks may have moved."""
        target = max(self.pool_blocks, self._pool.held_blocks, 1)
        if self._pool.blocks <= target:
            return False
        self._pool.resize(target)
        self._release_cached()
        self._limit_torch()
        return True

    def make_room(self, missing: int) -> None:
        """Let the pool grow by so many blocks or more. Raises OutOfVram."""
        while missing > 0:
            before, most = self._pool.blocks, self.pool_blocks
            if before + missing > most:
                raise OutOfVram(self._fixed + (before + missing) * self._pool.block_bytes)
            self._grow(min(before + max(missing, _GROWTH_BYTES // self._pool.block_bytes), most))
            missing -= self._pool.blocks - before

    def _grow(self, blocks: int) -> None:
        self.peak_bytes = max(self.peak_bytes, self._fixed + blocks * self._pool.block_bytes)
        wanted = self._fixed + blocks * self._pool.block_bytes
        if self._machine.is_cuda and wanted + self._cached() > self._cap:
            self._release_cached()
        try:
            self._pool.resize(blocks)
        except OutOfVram:
            self._release_cached()  # what torch keeps for later may be all that is missing
            self._grow_by_one()
        self._limit_torch()

    def _grow_by_one(self) -> None:
        blocks = self._pool.blocks + 1
        try:
            self._pool.resize(blocks)
        except OutOfVram:
            raise OutOfVram(self._fixed + blocks * self._pool.block_bytes) from None

    def watch(self, step: Callable[[], torch.Tensor], plan: StepPlan) -> tuple[torch.Tensor, int]:
        """Launch a step that allocates, and see what it takes at its peak. Raises OutOfVram.

        `step` may be called a second time, when blocks have moved.
        """
        if not self._machine.is_cuda:
            return self._foresee(step, plan)
        torch.cuda.reset_peak_memory_stats(self._machine.device)
        tokens = self._try(step)
        if tokens is None and self._give_back_unheld():
            tokens = self._try(step)
        if tokens is None:
            raise OutOfVram(plan.predicted_bytes)
        temporary = torch.cuda.max_memory_allocated(self._machine.device) - self._allocated
        self._note(temporary)
        return tokens, self.held_bytes() + temporary

    @staticmethod
    def _try(step: Callable[[], torch.Tensor]) -> torch.Tensor | None:
        try:
            return step()
        except torch.OutOfMemoryError:
            return None  # the exception goes, and with it the tensors that its frames hold

    def _give_back_unheld(self) -> bool:
        """Blocks that nobody holds, and what torch keeps for later. False if there are none."""
        held = max(self._pool.held_blocks, 1)
        fewer = held < self._pool.blocks
        if fewer:
            self._pool.resize(held)
        self._release_cached()
        self._limit_torch()
        return fewer

    def _foresee(self, step: Callable[[], torch.Tensor], plan: StepPlan) -> tuple[torch.Tensor, int]:
        work = plan.work
        temporary = self._memory.activation(
            prefill_tokens=work.prefill_tokens, decode_rows=work.decode_rows, sampled_rows=work.sampled_rows
        ).bytes
        if self.held_bytes() + temporary > self._cap:
            raise OutOfVram(self.held_bytes() + temporary)
        self._note(temporary)
        return step(), self.held_bytes() + temporary

    def _note(self, temporary: int) -> None:
        self.peak_temporary_bytes = max(self.peak_temporary_bytes, temporary)
        self.peak_bytes = max(self.peak_bytes, self._fixed + temporary + self._pool.memory.bytes)

    def _cached(self) -> int:
        """What torch has reserved beyond what was there at the start."""
        return int(torch.cuda.memory_reserved(self._machine.device)) - (self._fixed - self._outside)

    def _release_cached(self) -> None:
        if self._machine.is_cuda:
            torch.cuda.empty_cache()

    def _limit_torch(self) -> None:
        """Torch may have what the cap leaves beside what it does not count: context, graphs' own memory, the pool."""
        if not self._machine.is_cuda:
            return
        left = self._cap - self._outside - self._pool.memory.bytes
        share = min(max(left, 1) / self._machine.spec.memory_bytes, 1.0)
        torch.cuda.set_per_process_memory_fraction(share, self._machine.device)
