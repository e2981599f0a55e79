"""Keeps the process under its VRAM cap: fixed memory, the KV pool, and what torch may still allocate.

On a GPU the limits are real: the pool gets its memory from the driver piece by piece, torch's allocator gets what is
left as its limit, and a step that does not fit raises. On a CPU memory is not scarce, so a step is compared with its
prediction instead.
"""

from collections.abc import Callable

import torch

from ...csrc import MemoryModel, StepPlan
from ..machine import Machine
from .kv_pool import KvPool, OutOfVram

_GROWTH_BYTES = 256 << 20
"""The pool grows in steps of this size, when requests need it. The rest stays free for other processes."""


class VramCap:
    """The memory of one run.

    Args:
        memory: predicts the activations of a step, and sets the size of the pool.
        cap_bytes: all that the process may hold.
        fixed_bytes: what it holds before the first step: weights, context, graphs, workspaces.
        blind: the policy does not look at memory, so its pool may take all that is left, not only the planned pool.

    Attributes:
        peak_bytes: the most that the process used at once, with blocks that no request held, without torch's cache.
        peak_temporary_bytes: the most that the tensors of a step took.
    """

    def __init__(
        self, machine: Machine, pool: KvPool, memory: MemoryModel, *, cap_bytes: int, fixed_bytes: int, blind: bool
    ) -> None:
        self._machine, self._pool, self._memory, self._blind = machine, pool, memory, blind
        self._cap_bytes, self._fixed_bytes = cap_bytes, fixed_bytes
        self._release_cached()  # torch's cache of the run before
        self._allocated_bytes = torch.cuda.memory_allocated(machine.device) if machine.is_cuda else 0
        self._outside_torch_bytes = fixed_bytes - (torch.cuda.memory_reserved(machine.device) if machine.is_cuda else 0)
        self.peak_bytes = fixed_bytes
        self.peak_temporary_bytes = 0
        self._limit_torch()

    @property
    def pool_blocks(self) -> int:
        """How many blocks the pool may have."""
        free = (self._cap_bytes - self._fixed_bytes) // self._pool.block_bytes
        return min(free if self._blind else self._memory.pool_blocks, self._pool.limit_blocks)

    def held_bytes(self) -> int:
        """What the process holds between steps, without blocks that no request holds."""
        return self._fixed_bytes + self._pool.held_blocks * self._pool.block_bytes

    def set_budget(self, memory: MemoryModel) -> None:
        """Change the budget. The pool gives back the blocks beyond it that no request holds."""
        self._memory = memory
        self._cap_bytes = memory.budget_bytes
        self._release_cached()
        self._limit_torch()
        self.trim()

    def trim(self) -> bool:
        """Give back the blocks beyond the budget that no request holds. Returns whether blocks may have moved."""
        target = max(self.pool_blocks, self._pool.held_blocks, 1)
        if self._pool.blocks <= target:
            return False
        self._pool.resize(target)
        self._release_cached()
        self._limit_torch()
        return True

    def make_room(self, missing: int) -> None:
        """Let the pool grow by at least `missing` blocks. Raises OutOfVram."""
        while missing > 0:
            before, most = self._pool.blocks, self.pool_blocks
            if before + missing > most:
                raise OutOfVram(self._fixed_bytes + (before + missing) * self._pool.block_bytes)
            self._grow(min(before + max(missing, _GROWTH_BYTES // self._pool.block_bytes), most))
            missing -= self._pool.blocks - before

    def _grow(self, blocks: int) -> None:
        self.peak_bytes = max(self.peak_bytes, self._fixed_bytes + blocks * self._pool.block_bytes)
        wanted = self._fixed_bytes + blocks * self._pool.block_bytes
        if self._machine.is_cuda and wanted + self._cached() > self._cap_bytes:
            self._release_cached()
        try:
            self._pool.resize(blocks)
        except OutOfVram:
            self._release_cached()  # torch's cache may be all that is missing
            self._grow_by_one()
        self._limit_torch()

    def _grow_by_one(self) -> None:
        blocks = self._pool.blocks + 1
        try:
            self._pool.resize(blocks)
        except OutOfVram:
            raise OutOfVram(self._fixed_bytes + blocks * self._pool.block_bytes) from None

    def watch(self, step: Callable[[], torch.Tensor], plan: StepPlan) -> tuple[torch.Tensor, int]:
        """Launch a step that allocates memory, and measure its peak.

        Args:
            step: launches it. If there is no memory, it may be called a second time, after blocks have moved.

        Returns:
            The tokens that the step draws, and the most bytes that the process held during it.

        Raises:
            OutOfVram: the memory does not suffice.
        """
        if not self._machine.is_cuda:
            return self._predict(step, plan)
        torch.cuda.reset_peak_memory_stats(self._machine.device)
        tokens = self._try(step)
        if tokens is None and self._give_back_unheld():
            tokens = self._try(step)
        if tokens is None:
            raise OutOfVram(plan.predicted_bytes)
        temporary = torch.cuda.max_memory_allocated(self._machine.device) - self._allocated_bytes
        self._note(temporary)
        return tokens, self.held_bytes() + temporary

    @staticmethod
    def _try(step: Callable[[], torch.Tensor]) -> torch.Tensor | None:
        try:
            return step()
        except torch.OutOfMemoryError:
            return None  # this frees the exception, and with it the tensors in its frames

    def _give_back_unheld(self) -> bool:
        """Give back the blocks that no request holds, and torch's cache. Returns whether there were such blocks."""
        held = max(self._pool.held_blocks, 1)
        fewer = held < self._pool.blocks
        if fewer:
            self._pool.resize(held)
        self._release_cached()
        self._limit_torch()
        return fewer

    def _predict(self, step: Callable[[], torch.Tensor], plan: StepPlan) -> tuple[torch.Tensor, int]:
        work = plan.work
        temporary = self._memory.activation(
            prefill_tokens=work.prefill_tokens, decode_rows=work.decode_rows, sampled_rows=work.sampled_rows
        ).bytes
        if self.held_bytes() + temporary > self._cap_bytes:
            raise OutOfVram(self.held_bytes() + temporary)
        self._note(temporary)
        return step(), self.held_bytes() + temporary

    def _note(self, temporary: int) -> None:
        self.peak_temporary_bytes = max(self.peak_temporary_bytes, temporary)
        self.peak_bytes = max(self.peak_bytes, self._fixed_bytes + temporary + self._pool.memory.bytes)

    def _cached(self) -> int:
        """What torch reserved since the start of the run."""
        return int(torch.cuda.memory_reserved(self._machine.device)) - (self._fixed_bytes - self._outside_torch_bytes)

    def _release_cached(self) -> None:
        if self._machine.is_cuda:
            torch.cuda.empty_cache()

    def _limit_torch(self) -> None:
        """Limit torch to the cap less the memory that torch does not count: context, graphs and the pool."""
        if not self._machine.is_cuda:
            return
        left = self._cap_bytes - self._outside_torch_bytes - self._pool.memory.bytes
        share = min(max(left, 1) / self._machine.spec.memory_bytes, 1.0)
        torch.cuda.set_per_process_memory_fraction(share, self._machine.device)
