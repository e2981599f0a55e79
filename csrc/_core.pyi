"""The C++ core of WarpGroup: packing, memory arithmetic, policies and the scheduler.

All quantities are integers: times in nanoseconds, sizes in bytes, lengths in tokens.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

BUILD_COMMIT: str
"""Commit of the checkout that the extension was built from, with "-dirty" if it had changes; empty without one."""

STATUSES: tuple[str, ...]
EVENTS: tuple[str, ...]
STEP_EVENTS: tuple[str, ...]
"""The names of the record's codes. A code is a position in its tuple."""

STEP_FIELDS: tuple[str, ...]
"""Columns of `Recorder.steps`, in order."""

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
    ties in the given order: "nfd", "ffd" (at most 11/9 OPT + 6/9 bins; Dosa, 2007), "bfd", "wfd". Of bins with equal
    free space, best and worst fit take the one that changed last. O(n + capacity) if the capacity is below 4 n, else
    O(n log n). The arrays are not copied. Runs without the GIL.

    Raises:
        ValueError: a length is negative or larger than the capacity (the message names the item), `lengths` is not
            one-dimensional or not contiguous, or the algorithm is unknown.
        TypeError: `lengths` are not integers in native byte order.
    """

def packing_algorithms() -> list[str]:
    """Names of the algorithms of `pack`, the online ones first."""

class BinPacker:
    """Dynamic bin packing: the online algorithms of `pack` for items that arrive and depart.

    A bin whose items have all departed stays open and is used again. If items depart, first-fit is the safe choice: the
    competitive ratio of best fit is unbounded (Li, Tang, Cai 2014).
    """

    def __init__(self, capacity: int, algorithm: str = "first-fit") -> None:
        """Raises ValueError: an algorithm that is not online, or a capacity below 1."""
    def insert(self, length: int) -> int:
        """The bin that an item gets. Raises ValueError if no bin can hold it."""
    def extend(self, lengths: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.int32]:
        """Insert items in order; their bins. Raises as `pack` does, and has then inserted none."""
    def remove(self, bin: int, length: int) -> None:
        """Take an item out again. Raises ValueError if the bin does not hold that much."""
    def free_space(self, bin: int) -> int:
        """Capacity that is left in a bin.

        Raises:
            ValueError: there is no such bin.
        """
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

class Activation:
    """A step's temporary tensors at their peak, in bytes.

    The residual stream exists all the time. Beside it only the largest of the phases attention, MLP and logits counts;
    the others are 0. `bytes` is the sum.
    """

    residual: Final[int]
    projections: Final[int]
    attention_output: Final[int]
    log_sum_exp: Final[int]
    split_accumulators: Final[int]
    mlp: Final[int]
    logits: Final[int]
    rounding: Final[int]
    bytes: Final[int]

class NoSpaceForKv(ValueError):
    """A VRAM budget is too small for one KV block beside weights, context, graphs and activations."""

class MemoryModel:
    """How a VRAM budget is divided: weights, CUDA context, graphs, the largest step's activations, and the KV pool.

    `multiprocessors` and `max_context` (the width of a block table in tokens) decide how FlashAttention-2 splits decode
    attention. With 0 multiprocessors it never splits.

    Raises:
        NoSpaceForKv: no KV block fits.
        ValueError: an argument is out of range.
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
        graph_pool_bytes: int = 0,
        slack_bytes: int = 0,
        multiprocessors: int = 0,
        max_context: int = 0,
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
        graph_pool_bytes: int = 0,
        slack_bytes: int = 0,
        multiprocessors: int = 0,
        max_context: int = 0,
    ) -> MemoryModel:
        """The model whose budget gives exactly `blocks` KV blocks."""
    geometry: Final[ModelGeometry]
    budget_bytes: Final[int]
    context_bytes: Final[int]
    graph_pool_bytes: Final[int]
    slack_bytes: Final[int]
    @property
    def fixed_bytes(self) -> int:
        """Weights, context and graphs."""
    def activation(self, *, prefill_tokens: int = 0, decode_rows: int = 0, sampled_rows: int = 0) -> Activation:
        """The temporary tensors of a step."""
    @property
    def activation_reserve_bytes(self) -> int:
        """Kept free: no step within the limits needs more."""
    block_bytes: Final[int]
    block_tokens: Final[int]
    pool_blocks: Final[int]
    def padded_kv_bytes(self, rows: int, length: int) -> int:
        """KV bytes of a padded static batch: every row's blocks for the padded length."""

def num_splits(geometry: ModelGeometry, *, rows: int, longest: int, multiprocessors: int) -> int:
    """Into how many parts FlashAttention-2 splits each row's cache of `longest` tokens when decoding `rows` rows."""

class PagedKv:
    """Blocks of equal size, anywhere in the pool. Ids that are unknown, or known already, raise ValueError."""

    def __init__(self, blocks: int, block_tokens: int) -> None: ...
    def allocate(self, id: int, tokens: int) -> bool:
        """Allocate blocks for the first `tokens` tokens. If there are too few, change nothing and return False."""
    def grow(self, id: int, tokens: int) -> bool:
        """Grow to `tokens` tokens in total. Raises ValueError for fewer tokens than before."""
    def free(self, id: int) -> None: ...
    def resize(self, blocks: int) -> list[tuple[int, int]]:
        """Change the size of the pool. Returns (from, to) for each block that the caller must copy.

        Raises:
            ValueError: more than `blocks` blocks are held.
        """
    def block_table(self, id: int) -> npt.NDArray[np.int32]:
        """The request's blocks in the order of its tokens; a copy."""
    blocks: Final[int]
    free_blocks: Final[int]
    held_tokens: Final[int]
    filled_tokens: Final[int]
    @property
    def fragmentation(self) -> float:
        """The share of held tokens that is not filled."""

class ExtentKv:
    """One contiguous range for each request, aligned to 16 bytes, in the first gap that is large enough."""

    def __init__(self, capacity_bytes: int, bytes_per_token: int) -> None: ...
    def allocate(self, id: int, tokens: int) -> bool:
        """Allocate a range for `tokens` tokens, the predicted peak. False if no gap is large enough."""
    def grow(self, id: int, tokens: int) -> bool:
        """Grow in place. False if the gap behind the range is too small."""
    def free(self, id: int) -> None: ...
    def offset(self, id: int) -> int:
        """The begin of the range, in bytes."""
    free_bytes: Final[int]
    largest_gap_bytes: Final[int]
    @property
    def fragmentation(self) -> float:
        """The share of free bytes outside the largest gap."""

class PaddedKv:
    """A padded static batch: each row holds as much as the longest, until the last request ends."""

    def __init__(self, tokens: Sequence[int]) -> None: ...
    def grow(self, row: int, tokens: int) -> None: ...
    def free(self, row: int) -> None:
        """Mark a row as ended: it is no longer filled, but still held."""
    held_tokens: Final[int]
    filled_tokens: Final[int]
    @property
    def fragmentation(self) -> float:
        """The share of held tokens that is not filled."""

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
    @property
    def whole(self) -> bool:
        """Whether only whole numbers are accepted."""

class PolicyInfo:
    @property
    def id(self) -> str: ...
    @property
    def stands_for(self) -> str:
        """What it does, and which engine or paper it follows."""
    @property
    def engine(self) -> str:
        """The engine that runs this policy, such as "vLLM V1"; empty if none does."""
    @property
    def formula(self) -> str:
        """When a request is admitted, as one line."""
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
    step_tokens: Final[int]
    """Cap on the tokens of a step; 0: only the engine's."""
    chunk_tokens: Final[int]
    """Cap on the prefill tokens of a step while memory is short; 0: none."""
    swap_bytes: Final[int]
    """Pinned host memory for evicted caches."""
    sees_memory: Final[bool]
    sees_lengths: Final[bool]
    is_padded: Final[bool]
    def switches(self) -> dict[str, str | int | bool]:
        """Every field that decides how the policy behaves, by name.

        Choices (batching, admission, promise, order, mixing, victim) are names such as "prompt-fits"; the others are
        numbers, or on and off. Two policies with equal switches make the same plans.
        """

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
        fresh_tokens: int = 0,
        fresh_pairs: int = 0,
        prefill_context: int = 0,
        decode_rows: int = 0,
        context_tokens: int = 0,
        longest_context: int = 0,
        sampled_rows: int = 0,
        padding_tokens: int = 0,
        swap_bytes: int = 0,
    ) -> None: ...
    @property
    def prefill_tokens(self) -> int: ...
    @property
    def prefill_pairs(self) -> int:
        """Query-key pairs of causal attention over the prefilled tokens."""
    @property
    def fresh_tokens(self) -> int:
        """Of chunks that begin with their prompt's first token: no cache is read for them."""
    @property
    def fresh_pairs(self) -> int:
        """The same chunks' pairs."""
    @property
    def prefill_context(self) -> int:
        """KV tokens that the prefilled chunks attend to."""
    @property
    def decode_rows(self) -> int: ...
    @property
    def context_tokens(self) -> int:
        """KV tokens that the decode rows attend to."""
    @property
    def longest_context(self) -> int:
        """Those of the row that attends to most."""
    @property
    def sampled_rows(self) -> int: ...
    @property
    def padding_tokens(self) -> int: ...
    @property
    def swap_bytes(self) -> int:
        """KV bytes copied to and from the host before the first step."""

class Chunk:
    """Prompt tokens that a step computes: from position `start` on."""

    id: Final[int]
    start: Final[int]
    tokens: Final[int]

class Joined:
    """A request whose prefill completes with this step; from the next one on it decodes."""

    id: Final[int]
    generated: Final[int]
    """Output tokens that it has after this step."""

class Evicted:
    """A request that loses its place. Its cache is lost, or was swapped to the host."""

    id: Final[int]
    lost_tokens: Final[int]
    lost_generated: Final[int]
    """Output tokens that are lost too (static batches only)."""
    freed_bytes: Final[int]
    swapped_bytes: Final[int]

class Restored:
    """A request whose cache comes back from the host with this step."""

    id: Final[int]
    bytes: Final[int]

class Failed:
    """A request that ran out of memory alone, or outgrew the pool."""

    id: Final[int]
    needed_bytes: Final[int]
    alone_in_step: Final[bool]

class Degradation:
    """What the scheduler gives up first when memory falls short."""

    admit_less: Degradation
    smaller_chunks: Degradation

class StepPlan:
    """One decision: it holds for `horizon` steps, alike but for the decoding requests' caches growing."""

    step: Final[int]
    """Index of the first step."""
    plan_ns: Final[int]
    ticket: Final[int]
    """The last request that had been submitted; -1: none."""
    horizon: Final[int]
    """0: nothing to run."""
    wake_ns: Final[int]
    """With horizon 0: when to plan again at the latest; -1: when a request arrives."""
    predicted_bytes: Final[int]
    """VRAM that the first step needs."""
    kv_bytes: Final[int]
    paused_rows: Final[int]
    """Requests that could decode but get no turn."""
    work: Final[StepWork]
    blocked_by: Final[BlockedBy]
    admitted: Final[list[int]]
    evicted: Final[list[Evicted]]
    failed: Final[list[Failed]]
    restored: Final[list[Restored]]
    degraded: Final[list[Degradation]]
    prefill: Final[list[Chunk]]
    joined: Final[list[Joined]]
    decode: Final[list[int]]

class StepRecord:
    """What the core knows of steps that ran: columns of `steps.parquet`, but for the clock."""

    step: Final[int]
    steps: Final[int]
    prefill_tokens: Final[int]
    prefill_pairs: Final[int]
    fresh_tokens: Final[int]
    fresh_pairs: Final[int]
    prefill_context: Final[int]
    decode_rows: Final[int]
    context_tokens: Final[int]
    longest_context: Final[int]
    sampled_rows: Final[int]
    padding_tokens: Final[int]
    kv_start_bytes: Final[int]
    kv_bytes: Final[int]
    predicted_bytes: Final[int]
    reserved_bytes: Final[int]
    fragmented_bytes: Final[int]
    waiting: Final[int]
    running: Final[int]
    ticket: Final[int]
    swap_bytes: Final[int]
    paused_rows: Final[int]

class Submission:
    """Whether a request was queued. True if so."""

    accepted: Final[bool]
    reason: Final[str]
    expected_wait_ns: Final[int]
    """At the rate at which the queue moved lately."""
    pressed: Final[bool]
    """Back-pressure: it would wait for more than half of what is allowed."""
    def __bool__(self) -> bool: ...

class Scheduler:
    """Decides, step by step, who prefills, who decodes and who is evicted.

    It knows neither a clock nor a device: submit requests, run what `plan` returns, report with `commit` or
    `commit_oom`. The same calls with the same arguments give the same plans.
    """

    def __init__(
        self,
        policy: Policy,
        memory: MemoryModel,
        *,
        max_seqs: int,
        step_tokens: int,
        max_model_tokens: int = 0,
        max_wait_ns: int = 0,
        swap_bytes_s: int = 0,
        prefill_tokens_s: int = 0,
    ) -> None:
        """Limits of the engine, and how fast it restores an evicted cache.

        Args:
            policy: what decides.
            memory: the budget and how it is divided.
            max_seqs: requests that may run at once.
            step_tokens: tokens that one step may compute.
            max_model_tokens: longest sequence accepted (`orca` reserves it); 0: each request's own limit.
            max_wait_ns: a request that would wait longer is rejected; 0: never.
            swap_bytes_s: copy rate to host memory; 0: caches are not swapped.
            prefill_tokens_s: rate at which a lost cache is computed again.

        Raises:
            ValueError: a step could not hold one token for every running request.
        """
    def submit(
        self, id: int, *, arrival_ns: int, prompt_tokens: int, max_new_tokens: int, output_tokens: int = 0
    ) -> Submission:
        """Queue a request, or reject one that can never fit or would wait too long.

        `output_tokens` is kept only under a policy that `sees_lengths`. ValueError: id taken, a length below 1 or above
        2^40, an arrival above 2^62 ns, or an output length that is missing there.
        """
    def plan(self, now_ns: int) -> StepPlan:
        """What to run next. RuntimeError while an earlier plan waits for its commit."""
    def commit(self, steps: int, finished: Sequence[int]) -> StepRecord:
        """The first `steps` steps ran, and `finished` made their last token in the last of them.

        All or nothing. ValueError: steps beyond the horizon, an id that made no token in that step, or an id that comes
        twice; then nothing has changed, and the plan still waits for its commit.
        """
    def commit_oom(self) -> None:
        """The first step ran out of memory and had no effect; the next plan names the evicted and failed requests."""
    def abort(self, id: int) -> bool:
        """Forget a request; with a plan outstanding, at its commit. False if it is not here."""
    def set_budget(self, budget_bytes: int) -> None:
        """Another program takes or returns memory; the next plan evicts what no longer fits.

        ValueError: no block is left. RuntimeError while a plan is outstanding.
        """
    @property
    def plan_hash(self) -> int:
        """A running hash over all changes and their steps, however steps are grouped into plans."""
    waiting: Final[int]
    running: Final[int]
    used_blocks: Final[int]
    reserved_blocks: Final[int]
    host_bytes: Final[int]
    """Of caches that were swapped out."""
    memory: Final[MemoryModel]
    policy: Final[Policy]

class SlabShape:
    """How large each part of a step is, filling included: what a captured graph is good for.

    A step's tokens lie in one row: decoding requests, one each | chunks that continue a cache | whole prompts.
    """

    def __init__(
        self,
        rows: int,
        chunks: int,
        chunk_tokens: int,
        prompts: int,
        prompt_tokens: int,
        sampled: int,
        width: int,
    ) -> None:
        """How many decode; chunks, and all their tokens; prompts, and all their tokens; drawn tokens; block table."""
    rows: Final[int]
    chunks: Final[int]
    chunk_tokens: Final[int]
    prompts: Final[int]
    prompt_tokens: Final[int]
    sampled: Final[int]
    width: Final[int]
    def arrays(self) -> list[tuple[str, int, int]]:
        """The slab's arrays in order: name, first integer (a multiple of 64 bytes), and how many integers."""

class BlockManager:
    """The owners of all KV blocks: of the device's pool, and of the host memory for evicted caches."""

    def __init__(self, *, seats: int, width: int, block_tokens: int) -> None:
        """Running requests have seats (batch slots) below `seats`, and up to `width` blocks each.

        The pool starts with one block.
        """
    def hold(self, request: int, seat: int, tokens: int) -> bool:
        """Blocks for a request's first `tokens` tokens; False, and nothing changes, if there are not enough."""
    def release(self, request: int) -> None:
        """Free the blocks that a request holds on the device, if any."""
    def resize(self, blocks: int) -> list[tuple[int, int]]:
        """Change the size of the pool. Returns (from, to) for each block to copy. ValueError: more blocks are held."""
    def open_host(self, blocks: int) -> None:
        """Set the number of host blocks; all host blocks become free."""
    def swap_out(self, request: int, tokens: int) -> list[tuple[int, int]]:
        """Allocate host blocks for a cache. Returns the blocks to copy, (host, device). RuntimeError: too few."""
    def swap_in(self, request: int) -> list[tuple[int, int]]:
        """Return the copies back, (host, device), and free the host blocks. The request must hold device blocks."""
    def host_tokens(self, request: int) -> int:
        """The number of a request's tokens on the host."""
    def clear(self) -> None:
        """Free all blocks on the device and on the host, and shrink the pool to one block."""
    blocks: Final[int]
    free_blocks: Final[int]
    host_blocks: Final[int]
    width: Final[int]
    @property
    def tables(self) -> npt.NDArray[np.int32]:
        """(seats, width): the block tables, as a view. Entries behind a request's last block are stale."""

class StepExtent:
    """The size of a step, before its shape is chosen."""

    rows: Final[int]
    chunks: Final[int]
    """Number of chunks that continue a cache."""
    chunk_tokens: Final[int]
    longest_chunk: Final[int]
    cached_tokens: Final[int]
    """Tokens that all chunks attend to."""
    longest_cached: Final[int]
    prompts: Final[list[int]]
    """Lengths of whole prompts, padding included, ascending."""
    prompt_tokens: Final[int]
    sampled: Final[int]
    longest: Final[int]
    """Longest cache that a row, chunk or prompt attends to."""
    padded: Final[bool]

class StepDraws:
    """The tokens that a step samples."""

    requests: Final[npt.NDArray[np.int64]]
    places: Final[npt.NDArray[np.int64]]
    """Index of each token in the log."""
    finished: Final[list[int]]
    """Requests that generate their last token, by id."""

class StepBuilder:
    """Turns the scheduler's plans into slabs: apply, prepare, hold, write, launched. See step_builder.hpp."""

    def __init__(
        self,
        *,
        log: npt.NDArray[np.int32],
        starts: npt.NDArray[np.int64],
        prompt_tokens: npt.NDArray[np.int64],
        ends: npt.NDArray[np.int64],
        block_manager: BlockManager,
        seed: int,
        padded: bool,
    ) -> None:
        """Keeps log and block_manager alive.

        Args:
            log: all tokens end to end, and one more place for the samples of ended requests in a padded batch.
            starts, prompt_tokens, ends: of each request: where its tokens begin there, how many are its prompt's, and
                how many there are in the end.
            seed: of drawn tokens.
            padded: batches are static.
        """
    def apply(self, plan: StepPlan) -> list[tuple[int, int]]:
        """Apply evictions, failures and admissions. Returns the blocks to copy to the host, (host, device)."""
    def prepare(self, plan: StepPlan) -> int:
        """Collect the step's pieces. Returns the number of blocks that are missing beyond the free ones."""
    def missing_blocks(self) -> int:
        """The same number after the pool was resized."""
    def limit_blocks(self, blocks: int) -> None:
        """Cap the held blocks, even if the pool is larger."""
    def restore(self) -> list[tuple[int, int]]:
        """Replace `hold` if there are too few blocks: swap caches back as far as there are blocks."""
    def hold(self) -> list[tuple[int, int]]:
        """Take the step's blocks. Returns the blocks to copy back, (host, device). RuntimeError: too few blocks."""
    extent: Final[StepExtent]
    """The size of the prepared step."""
    def row_lengths(self) -> npt.NDArray[np.int64]:
        """(rows,): the cache length of each row, the new token included."""
    def chunks(self, *, all: bool) -> list[tuple[int, int]]:
        """(first position, tokens) of all pieces, or only of the chunks that continue a cache."""
    def write(self, slab: npt.NDArray[np.int32], shape: SlabShape, *, all_continue: bool) -> None:
        """Write all numbers of the step; whole prompts may be laid out as chunks that continue an empty cache.

        ValueError: the step is larger than the shape or the slab.
        """
    def launched(self) -> StepDraws:
        """Count the step as computed. Returns what it samples."""
    def retire(self, finished: Sequence[int]) -> None:
        """Remove requests that ended. Those of a static batch stay until the whole batch has ended."""
    def generated(self, request: int) -> int:
        """Tokens that a running request has generated."""

class StagedStep:
    """A plan that is prepared for the device, as far as possible without the device."""

    plan: Final[StepPlan]
    drained: Final[Drained]
    """Submissions that were taken before the plan was made."""
    to_host: Final[list[tuple[int, int]]]
    """Blocks to copy first, (host, device)."""
    to_device: Final[list[tuple[int, int]]]
    """Blocks to copy next, (host, device)."""
    missing_blocks: Final[int]
    """By how many blocks the pool must grow before the step."""
    shape: Final[SlabShape]
    captured: Final[bool]
    awaits_tokens: Final[bool]
    """The plan evicts and admits the same request, whose last token may still be only on the device."""
    written: Final[bool]
    """Whether the slab is complete."""

class StepStager:
    """Prepares plans as far as possible without the device: takes blocks, chooses the shape, writes the slab."""

    def __init__(self, builder: StepBuilder, *, width: int, captured: list[SlabShape]) -> None:
        """`captured`: the shapes of the device's graphs. Other steps get a shape of their own, with that width."""
    def stage(self, plan: StepPlan, slab: npt.NDArray[np.int32]) -> StagedStep:
        """Stage a plan. Stops early, and reports it in the result, if blocks, tokens or slab space are missing."""

class StepWorker:
    """A thread that receives requests, plans, and stages the plan, while the device runs the step before.

    Between `take` and the next `begin` all that it works with is the caller's, and only then.
    """

    def __init__(
        self,
        intake: Intake,
        scheduler: Scheduler,
        stager: StepStager,
        *,
        log: npt.NDArray[np.int32],
        starts: npt.NDArray[np.int64],
        zero_ns: int,
    ) -> None:
        """`zero_ns`: the `time.perf_counter_ns` at which plan time is 0; `log`, `starts`: as in `Intake.drain`."""
    def begin(self, slab: npt.NDArray[np.int32]) -> None:
        """Start to make the next plan in that slab, which is kept alive. RuntimeError: the last plan was not taken."""
    def close(self) -> None:
        """Wait for the plan in progress and end the thread. No plan can be begun afterwards."""
    def take(self) -> StagedStep:
        """Wait for the plan, without the GIL. Raises the thread's exception; RuntimeError: no plan was begun."""

class SlabWriter:
    """Writes all numbers of a step into its slab, without the GIL.

    It looks at arrays that belong to the caller, who changes them between steps.
    """

    def __init__(
        self,
        *,
        log: npt.NDArray[np.int32],
        starts: npt.NDArray[np.int64],
        seat_request: npt.NDArray[np.int64],
        seat_tokens: npt.NDArray[np.int64],
        seat_cached: npt.NDArray[np.int64],
        tables: npt.NDArray[np.int32],
        block_tokens: int,
        spare_seat: int,
        seed: int,
    ) -> None:
        """Keeps the arrays alive.

        Args:
            log, starts: tokens of all requests, and where each one's begin.
            seat_request, seat_tokens, seat_cached: by seat: the request, its tokens that are decided, and those whose
                keys and values are held.
            tables: (seats, width): block tables.
            block_tokens: of a KV block.
            spare_seat: where rows draw to that only fill a shape.
            seed: of drawn tokens.
        """
    def write(
        self,
        slab: npt.NDArray[np.int32],
        shape: SlabShape,
        rows: npt.NDArray[np.int64],
        pieces: npt.NDArray[np.int64],
        continued: int,
    ) -> None:
        """Lay out a step.

        Args:
            slab: at least as long as the shape's arrays.
            shape: at least as large as the step.
            rows: seats that decode.
            pieces: (pieces, 6): request, seat, first token, tokens, padding, whether a token is drawn.
            continued: so many of the first pieces continue a cache, the others are whole prompts.

        Raises:
            ValueError: the step is larger than the shape or the slab, or names a seat that is not there.
        """

class AttentionSchedule:
    """The split-KV schedule of a step's attention: which CTA computes which part of which cache.

    See attention_schedule.hpp for the method.
    """

    ITEM: Final[int]
    """Integers of an item: the tile's first query, number of queries, position of the first query, row of the block
    table; begin and end of the part of the cache; the tile, its number of parts, and the part's index among all."""

    @staticmethod
    def most_items(tiles: int, ctas: int) -> int:
        """An upper bound of the number of items."""
    def rows(
        self,
        lengths: npt.NDArray[np.int64],
        ctas: int,
        items: npt.NDArray[np.int32],
        edges: npt.NDArray[np.int32],
    ) -> int:
        """Schedule decoding rows, one tile each. Returns the number of items.

        Args:
            lengths: (rows,): cache length of each row, in tokens.
            ctas: number of CTAs.
            items: output of at least most_items(rows, ctas) * ITEM integers.
            edges: output of at least rows + 1 integers: the index of each tile's first part.

        Raises:
            ValueError: a length below 1, or an output that is too short.
        """
    def chunks(
        self,
        chunks: list[tuple[int, int]],
        tile_queries: int,
        ctas: int,
        items: npt.NDArray[np.int32],
        edges: npt.NDArray[np.int32],
    ) -> int:
        """Schedule chunks, each (first position, tokens), in tiles of `tile_queries` queries; otherwise as `rows`."""
    longest: Final[int]
    """Load of the most loaded CTA of the last schedule, in tokens; each part counts a fixed overhead too."""

class Drained:
    """The outcomes of the items that were taken from a queue."""

    submitted: Final[list[int]]
    """Ids that the scheduler saw, in order, refused ones included."""
    refused: Final[list[tuple[int, str]]]
    """Ids that were refused, by the scheduler or because the log has no place, each with the reason."""
    pressed: Final[list[int]]
    """Ids that were accepted and are expected to wait long."""
    aborted: Final[int]
    """Number of aborts that found their request."""

class Intake:
    """The submission queue: any thread submits, and the scheduler's thread takes the requests in order.

    A bounded queue without locks. Each item gets a ticket, 0, 1, 2, ... The id of a request is its ticket, unless the
    submitter gives another id. Prompts are stored in pages of 256 tokens of one memory. Calls wait without the GIL.
    """

    def __init__(self, capacity: int, memory: npt.NDArray[np.int32]) -> None:
        """For up to `capacity` items at once, a power of two, and prompts of as many tokens as `memory` holds.

        The memory is written to, and kept alive; it may be pinned. ValueError: a capacity that is no power of two, or
        memory for less than one page.
        """
    def submit(
        self,
        tokens: Any,
        max_new_tokens: int,
        arrival_ns: int = 0,
        output_tokens: int = 0,
        timeout_s: float | None = 0.0,
        id: int | None = None,
    ) -> int:
        """Queue a request; its id. Any thread.

        Args:
            tokens: of the prompt: integers of 2, 4 or 8 bytes in one piece, as a NumPy array or anything that has the
                buffer protocol or DLPack. They are copied.
            max_new_tokens: that it may make.
            arrival_ns: when it came.
            output_tokens: how many it will make, where that is known; else 0.
            timeout_s: how long to wait for space, in seconds; 0: not at all, None: without limit.
            id: the request's id, from 0 on; None: its ticket. An id that is in use is refused when it is drained.

        Raises:
            QueueFull: there is no space, or the queue is closed.
            ValueError: an empty prompt, a prompt that can never fit, a token out of range, a length below 1, or an `id`
                below 0.
            TypeError: the tokens are not an array of integers.
            RuntimeError: this process was forked from the one that made the queue.
        """
    def submit_many(
        self,
        *,
        tokens: Any,
        prompt_tokens: npt.NDArray[np.int64],
        max_new_tokens: npt.NDArray[np.int64],
        arrival_ns: npt.NDArray[np.int64],
        output_tokens: npt.NDArray[np.int64],
        timeout_s: float | None = 0.0,
    ) -> int:
        """Queue many requests, all or none; the first id, the others follow it. Any thread.

        `tokens` holds the prompts end to end, `prompt_tokens` their lengths. Otherwise as `submit`.
        """
    def abort(self, id: int, timeout_s: float | None = 0.0) -> None:
        """Queue an abort of a request; it needs space as `submit` does. Any thread."""
    def drain(
        self,
        scheduler: Scheduler,
        log: npt.NDArray[np.int32],
        starts: npt.NDArray[np.int64],
        most: int | None = None,
    ) -> Drained:
        """Give up to `most` items to the scheduler; each prompt is copied to `log` from `starts[id]` on.

        A request that has no place there, or that the scheduler does not take, is refused with the reason. `most`:
        None: as many as the queue holds. The scheduler's thread only.
        """
    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until an item can be drained, a closed queue is empty, or the timeout.

        Returns whether an item can be drained. Only for the scheduler's thread.
        """
    def close(self) -> None:
        """End submission: submitters that wait get QueueFull. Queued items can still be drained."""
    def watch_space(self, fd: int) -> None:
        """Write to this eventfd each time that space becomes free, until `unwatch_space`; for event loops."""
    def unwatch_space(self, fd: int) -> None:
        """Stop what `watch_space` started."""
    closed: Final[bool]
    queued: Final[int]
    """Number of queued items."""
    free_tokens: Final[int]
    """Free space for prompts in tokens, in whole pages."""

class RooflineStepTime:
    """max(weights, products) + attention + KV read + copies + overhead, in integer femtoseconds.

    Args:
        weights_fs: one pass over the weights.
        token_fs: per token: matrix products.
        sample_fs: per row: output head.
        fresh_pair_fs: per query-key pair: attention of whole prompts.
        continued_pair_fs: per query-key pair: attention of chunks that continue a cache.
        chunk_context_fs: per token that a chunk attends to.
        context_fs: per token that a decoding request attends to.
        swap_fs: per byte copied to or from the host.
        overhead_fs: per step.
        prefill_fs: per step that prefills, in addition.
        mixed_fs: per step that prefills and decodes, in addition.
        tokens, prefilled, context, longest, fresh, continued: corrections, each a list of (at, fs): straight lines
            between these, constant beyond them. `tokens`: of a step that only decodes, by its tokens; `prefilled`: of
            one that prefills, likewise; `context`: of a token that a decoding request attends to, by the number of
            those; `longest`: of a step that decodes, by its longest cache; `fresh`: of a pair of a whole prompt, by
            their mean length; `continued`: of a pair of a chunk that continues a cache, by all such chunks' tokens. No
            step comes to less than nothing.
        row_sizes: batch sizes of captured graphs: a step that only decodes is padded to the next size.

    Raises:
        ValueError: knots or row sizes that do not ascend, or a knot of `longest` above 2^20.
    """

    def __init__(
        self,
        *,
        weights_fs: int,
        token_fs: int,
        sample_fs: int,
        fresh_pair_fs: int,
        continued_pair_fs: int,
        chunk_context_fs: int,
        context_fs: int,
        swap_fs: int,
        overhead_fs: int,
        prefill_fs: int = 0,
        mixed_fs: int = 0,
        tokens: Sequence[tuple[int, int]] = (),
        context: Sequence[tuple[int, int]] = (),
        longest: Sequence[tuple[int, int]] = (),
        fresh: Sequence[tuple[int, int]] = (),
        continued: Sequence[tuple[int, int]] = (),
        row_sizes: Sequence[int] = (),
        prefilled: Sequence[tuple[int, int]] = (),
    ) -> None: ...
    def cumulative_fs(self, work: StepWork, steps: int) -> int:
        """See `warpgroup.sim.StepTime`."""

class Recorder:
    """Collects the events of a run, simulated or real. A request's id is its row in the trace."""

    budget_bytes: int
    """The budget of the steps recorded from now on."""

    def __init__(self, requests: int, budget_bytes: int) -> None: ...
    def came(self, request: int, arrival_ns: int) -> None:
        """A request was submitted. Calls are in the order of submissions."""
    def rejected(self, request: int, now_ns: int, reason: str) -> None: ...
    def pressed(self, request: int, now_ns: int) -> None: ...
    def budget_changed(self, now_ns: int, ticket: int, budget_bytes: int) -> None:
        """The scheduler got another budget after the submission of `ticket`."""
    def planned(self, plan: StepPlan) -> None:
        """Record the changes that a plan makes before its steps run."""
    def ran(
        self,
        plan: StepPlan,
        facts: StepRecord,
        vram_used_bytes: int,
        start_ns: int,
        end_ns: int,
        finished: Sequence[int],
    ) -> None:
        """Steps ran to their end. `facts` is the result of the core's commit."""
    def ran_out_of_memory(self, plan: StepPlan, needed_bytes: int, start_ns: int, end_ns: int) -> None:
        """A step ran out of memory and had no effect."""
    ended: Final[int]
    ooms: Final[int]
    reasons: Final[dict[int, str]]
    def requests(self) -> dict[str, npt.NDArray[np.int64]]:
        """One row for each request: arrival, position in the order of submissions, outcome; -1 where unknown."""
    def steps(self) -> dict[str, npt.NDArray[np.int64]]:
        """One row for each step or macro-step; a step that ran out of memory has a row with `steps` 0.

        The rows are handed over: a second call returns none.
        """
    def events(self) -> dict[str, npt.NDArray[np.int64]]:
        """Evictions, resumptions, rejections, failures and degradations, in the order of time."""

class ArrivalQueue:
    """The arrivals of a trace, by row.

    A request arrives at its own time or, in a closed loop, a think time after an earlier request has ended.
    """

    def __init__(
        self,
        *,
        arrival_ns: npt.NDArray[np.int64],
        after: npt.NDArray[np.int64] = ...,
        think_ns: npt.NDArray[np.int64] = ...,
    ) -> None:
        """All columns have shape (requests,). Without `after` and `think_ns` no request waits.

        Args:
            arrival_ns: arrival times, ascending.
            after: the earlier request that each request follows.
            think_ns: time from its end to the arrival; -1 for a request that does not wait.

        Raises:
            ValueError: the columns differ in length, or a request waits for itself or a later one.
        """
    next: Final[int]
    """The next request, the lowest of those that arrive at the same time; -1 if no arrival is known."""
    next_ns: Final[int]
    """Its arrival time; -1 if no arrival is known."""
    left: Final[int]
    """Number of requests that have not been popped."""
    def pop(self) -> None:
        """Remove the next request.

        Raises:
            RuntimeError: no arrival is known.
        """
    def ended(self, request: int, at_ns: int) -> None:
        """Release the requests that wait for this one, which has ended in some way."""
    def arrival_ns(self, request: int) -> int:
        """The arrival time of a request that does not wait, or no longer waits."""

class SimulatedEngine:
    """Runs the scheduler's plans in simulated time; see `warpgroup.sim.simulate`."""

    def __init__(
        self,
        *,
        arrivals: ArrivalQueue,
        prompt_tokens: npt.NDArray[np.int64],
        output_tokens: npt.NDArray[np.int64],
        max_new_tokens: int,
        scheduler: Scheduler,
        step_time: object,
        recorder: Recorder,
        macro_steps: bool = True,
        stop_on_oom: bool = False,
        plan_ahead: bool = False,
    ) -> None: ...
    def advance(self, until_ns: int, plans: int) -> None:
        """Run until the first plan at or after `until_ns` (negative: no limit), for `plans` plans, or to the end."""
    def submit(self, request: int, now_ns: int) -> None:
        """Repeat a recorded submission; the plan at `now_ns` is the first to see it."""
    def follow(self, *, plan_ns: int, start_ns: int, end_ns: int, needed_bytes: int) -> bool:
        """Repeat a recorded step. Returns False if the plan has no step.

        Args:
            needed_bytes: of a step that ran out of memory; else 0.

        Raises:
            RuntimeError, ValueError: the outcome contradicts the plan.
        """
    def follow_budget(self, *, now_ns: int, budget_bytes: int) -> None:
        """Repeat a recorded budget."""
    def follow_end(self) -> None:
        """Make the plan that ends the run, after the last step."""
    def set_budget(self, budget_bytes: int, *, announced: bool) -> None:
        """Change the device's memory. The scheduler learns of it now if `announced`, else by running out of memory."""
    done: Final[bool]
    now_ns: Final[int]
