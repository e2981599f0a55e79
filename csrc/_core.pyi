"""The C++ core of WarpGroup: packing, memory arithmetic, policies and the scheduler.

Everything is integers: times in nanoseconds, sizes in bytes, lengths in tokens.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

BUILD_COMMIT: str
"""Commit of the checkout that the extension was built from ("-dirty" if changed); empty outside a checkout."""

STEP_RECORD_FIELDS: tuple[str, ...]
"""Names of the integers that `Scheduler.commit` returns, in order."""

class Packing:
    """Items in bins."""

    @property
    def bin_of(self) -> npt.NDArray[np.int32]:
        """Bin of each item, in the order of the input; a view, not a copy."""
    @property
    def num_bins(self) -> int: ...
    @property
    def lower_bound(self) -> int:
        """No packing of these items has fewer bins: L2 of Martello and Toth (1990)."""

def pack(lengths: npt.NDArray[np.integer[Any]], capacity: int, algorithm: str = "ffd") -> Packing:
    """Pack `lengths`, a contiguous array of any integer type, into bins of `capacity`.

    Online, in the given order: "next-fit", "first-fit", "best-fit", "worst-fit". Offline, by decreasing length with
    ties in the given order: "nfd", "ffd" (at most 11/9 OPT + 6/9 bins), "bfd", "wfd". Best and worst fit take, of bins
    with equal room, the one that came to that room last. O(n + capacity) if the capacity is below 4 n, O(n log n)
    otherwise. Nothing is copied in or out; runs without the GIL.

    Raises:
        ValueError: a length is negative or larger than the capacity (the message names the item), `lengths` is not
            one-dimensional or not contiguous, or the algorithm is unknown.
        TypeError: `lengths` are not integers in native byte order.
    """

def packing_algorithms() -> list[str]:
    """Names of the algorithms of `pack`, the online ones first."""

class BinPacker:
    """Packs items that come and go: the dynamic form of the online algorithms of `pack`.

    A bin whose items have all left stays, empty, and is used again. Where items depart first-fit is the safe choice:
    best fit's cost is unbounded there.
    """

    def __init__(self, capacity: int, algorithm: str = "first-fit") -> None:
        """Raises ValueError: an algorithm that is not online, or a capacity below 1."""
    def insert(self, length: int) -> int:
        """The bin that an item gets. Raises ValueError if no bin can hold it."""
    def extend(self, lengths: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.int32]:
        """Insert items in order; their bins. Raises as `pack` does, and has then inserted none."""
    def remove(self, bin: int, length: int) -> None:
        """Take an item out again. Raises ValueError if the bin does not hold that much."""
    def room(self, bin: int) -> int:
        """Capacity that is left in a bin. Raises ValueError if there is no such bin."""
    @property
    def capacity(self) -> int: ...
    @property
    def num_bins(self) -> int:
        """Bins opened so far, empty ones included."""

class ModelGeometry:
    """The shape of a decoder-only transformer of the Llama family."""

    def __init__(
        self,
        *,
        layers: int,
        hidden: int,
        query_heads: int,
        kv_heads: int,
        head_dim: int,
        intermediate: int,
        vocab: int,
        tied_embeddings: bool = False,
        qkv_bias: bool = False,
        qk_norm: bool = False,
        dtype_bytes: int = 2,
    ) -> None: ...
    @property
    def parameters(self) -> int: ...
    @property
    def matmul_parameters(self) -> int:
        """Parameters that a step multiplies with: all but the input embedding."""
    @property
    def weight_bytes(self) -> int: ...
    @property
    def kv_bytes_per_token(self) -> int:
        """2 x layers x kv_heads x head_dim x dtype_bytes."""
    def activation_bytes(self, tokens: int, sampled_rows: int) -> int:
        """Peak bytes of the temporary tensors of a step over `tokens`, with float32 logits for `sampled_rows`."""
    @property
    def layers(self) -> int: ...
    @property
    def hidden(self) -> int: ...
    @property
    def vocab(self) -> int: ...
    @property
    def query_heads(self) -> int: ...
    @property
    def head_dim(self) -> int: ...
    @property
    def dtype_bytes(self) -> int: ...

class MemoryModel:
    """Where a VRAM budget goes: weights, CUDA context, the largest step's activations, the KV pool.

    Raises:
        ValueError: no KV block fits, or an argument is out of range.
    """

    def __init__(
        self,
        geometry: ModelGeometry,
        *,
        budget_bytes: int,
        context_bytes: int,
        block_tokens: int,
        step_tokens: int,
        max_seqs: int,
    ) -> None: ...
    @staticmethod
    def for_blocks(
        geometry: ModelGeometry,
        *,
        blocks: int,
        context_bytes: int,
        block_tokens: int,
        step_tokens: int,
        max_seqs: int,
    ) -> MemoryModel:
        """The model whose budget gives exactly `blocks` KV blocks."""
    @property
    def geometry(self) -> ModelGeometry: ...
    @property
    def budget_bytes(self) -> int: ...
    @property
    def context_bytes(self) -> int: ...
    @property
    def fixed_bytes(self) -> int:
        """Weights and context."""
    @property
    def activation_reserve_bytes(self) -> int: ...
    @property
    def block_bytes(self) -> int: ...
    @property
    def block_tokens(self) -> int: ...
    @property
    def pool_blocks(self) -> int: ...
    def padded_kv_bytes(self, rows: int, length: int) -> int:
        """KV bytes of a padded static batch."""

class PolicyParameter:
    @property
    def name(self) -> str: ...
    @property
    def default(self) -> float: ...
    @property
    def lowest(self) -> float: ...
    @property
    def highest(self) -> float: ...
    @property
    def meaning(self) -> str: ...

class PolicyInfo:
    @property
    def id(self) -> str: ...
    @property
    def stands_for(self) -> str: ...
    @property
    def parameters(self) -> list[PolicyParameter]: ...

def policy_catalogue() -> list[PolicyInfo]:
    """Every policy there is, in the order in which reports show them."""

class Policy:
    """A batching policy with its parameters.

    Raises:
        ValueError: unknown id or parameter, or a value out of range.
    """

    def __init__(self, id: str, parameters: dict[str, float] = ...) -> None: ...
    @property
    def id(self) -> str: ...
    @property
    def max_requests(self) -> int:
        """Cap on the running requests that the policy itself sets; 0: only the engine's."""
    @property
    def sees_memory(self) -> bool: ...
    @property
    def is_padded(self) -> bool: ...

class BlockedBy:
    """Why the first request in the queue was not admitted."""

    none: BlockedBy
    memory: BlockedBy
    count: BlockedBy
    tokens: BlockedBy
    compute: BlockedBy
    def __int__(self) -> int: ...
    @property
    def name(self) -> str: ...

class StepWork:
    """The size of a step, padding included: what a step-time model needs to know."""

    def __init__(
        self,
        *,
        prefill_tokens: int = 0,
        prefill_pairs: int = 0,
        prefill_context: int = 0,
        decode_rows: int = 0,
        context_tokens: int = 0,
        sampled_rows: int = 0,
        padding_tokens: int = 0,
    ) -> None: ...
    @property
    def prefill_tokens(self) -> int: ...
    @property
    def prefill_pairs(self) -> int:
        """Query-key pairs of causal attention over the prefilled tokens."""
    @property
    def prefill_context(self) -> int:
        """KV tokens that the prefilled chunks attend to."""
    @property
    def decode_rows(self) -> int: ...
    @property
    def context_tokens(self) -> int:
        """KV tokens that the decode rows attend to."""
    @property
    def sampled_rows(self) -> int: ...
    @property
    def padding_tokens(self) -> int: ...

class Chunk:
    @property
    def id(self) -> int: ...
    @property
    def start(self) -> int: ...
    @property
    def tokens(self) -> int: ...

class Joined:
    """A request whose prefill completes with this step; from the next one on it decodes."""

    @property
    def id(self) -> int: ...
    @property
    def generated(self) -> int:
        """Output tokens that it has after this step."""

class Evicted:
    @property
    def id(self) -> int: ...
    @property
    def lost_tokens(self) -> int: ...
    @property
    def lost_generated(self) -> int: ...
    @property
    def freed_bytes(self) -> int: ...

class Failed:
    @property
    def id(self) -> int: ...
    @property
    def needed_bytes(self) -> int: ...
    @property
    def alone_in_step(self) -> bool: ...

class StepPlan:
    """One decision: it holds for `horizon` steps, alike but for the decoding requests' caches growing."""

    @property
    def step(self) -> int: ...
    @property
    def plan_ns(self) -> int: ...
    @property
    def ticket(self) -> int: ...
    @property
    def horizon(self) -> int:
        """0: nothing to run."""
    @property
    def wake_ns(self) -> int:
        """With horizon 0: when to plan again at the latest; -1: when a request arrives."""
    @property
    def predicted_bytes(self) -> int:
        """VRAM that the first step needs."""
    @property
    def kv_bytes(self) -> int: ...
    @property
    def work(self) -> StepWork: ...
    @property
    def blocked_by(self) -> BlockedBy: ...
    @property
    def admitted(self) -> list[int]: ...
    @property
    def evicted(self) -> list[Evicted]: ...
    @property
    def failed(self) -> list[Failed]: ...
    @property
    def prefill(self) -> list[Chunk]: ...
    @property
    def joined(self) -> list[Joined]: ...
    @property
    def decode(self) -> list[int]: ...

class Submission:
    @property
    def accepted(self) -> bool: ...
    @property
    def reason(self) -> str: ...
    def __bool__(self) -> bool: ...

class Scheduler:
    """Decides, step by step, who prefills, who decodes and who is evicted.

    It knows neither a clock nor a device: submit requests, run what `plan` returns, report with `commit` or
    `commit_oom`. The same calls with the same arguments give the same plans.
    """

    def __init__(self, policy: Policy, memory: MemoryModel, *, max_seqs: int, step_tokens: int) -> None:
        """Raises ValueError if a step could not hold one token for every running request."""
    def submit(self, id: int, *, arrival_ns: int, prompt_tokens: int, max_new_tokens: int) -> Submission:
        """Queue a request, or reject one that can never fit. ValueError: id taken, or a length below 1."""
    def plan(self, now_ns: int) -> StepPlan:
        """What to run next. RuntimeError while an earlier plan waits for its commit."""
    def commit(self, steps: int, finished: Sequence[int]) -> tuple[int, ...]:
        """The first `steps` steps ran, and `finished` made their last token in the last of them.

        Returns the facts of those steps (`STEP_RECORD_FIELDS`). ValueError: steps beyond the horizon, or an id that
        made no token.
        """
    def commit_oom(self) -> None:
        """The first step ran out of memory and had no effect; the next plan says who was evicted or failed."""
    def abort(self, id: int) -> bool:
        """Forget a request; with a plan outstanding, at its commit. False if it is not here."""
    @property
    def plan_hash(self) -> int:
        """A running hash over all changes and their steps, however steps are grouped into plans."""
    @property
    def waiting(self) -> int: ...
    @property
    def running(self) -> int: ...
    @property
    def used_blocks(self) -> int: ...
    @property
    def reserved_blocks(self) -> int: ...
    @property
    def memory(self) -> MemoryModel: ...
    @property
    def policy(self) -> Policy: ...
