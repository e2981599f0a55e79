"""Fits the step-time model to measured steps: first the roofline's rates, then corrections of what is left.

1. Rates. The roofline of `sim/step_time` with all rates free and none negative. The matrix products of a step share one
   pass over the weights, so their time is a rate times max(tokens, T*). The T* that fits best is taken.
2. Corrections. The residual as straight lines between knots: by the step's tokens (the products are computed in tiles;
   steps that prefill have their own line, since they may be launched differently), by decoding rows (how well the parts
   of the caches fill the device), by the longest cache (the other rows wait for it), by prompt length (long prompts use
   another kernel), and by the tokens of chunks. Corrections are pulled towards zero: where nothing was measured, the
   rates alone decide.

Errors are relative. Each kind of step has the same weight. Outliers weigh less (Huber).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ...csrc import ModelGeometry, StepWork
from ...errors import InvalidProfile
from ...records import Columns
from ..step_time.profile import Corrections, Rates, RegionError
from ..step_time.roofline import StepTime, native
from .least_squares import Array, damped, non_negative

COLUMNS = (
    *("prefill_tokens", "prefill_pairs", "fresh_tokens", "fresh_pairs", "prefill_context"),
    *("decode_rows", "context_tokens", "longest_context", "sampled_rows", "swap_bytes", "duration_ns"),
)
"""The columns of `steps.parquet` that a fit needs."""

CROSSINGS = (64, 96, 128, 160, 192, 224, 256, 288, 320, 384, 448, 512)
"""Candidates for T*: the tokens from which on the products take longer than one pass over the weights."""

_ROWS = (*range(8, 64, 8), *range(64, 256, 16), *range(256, 1025, 32))
"""Knots are dense for small steps, because the products are computed in tiles."""

_LONG_STEPS = (1280, 1536, 2048, 3072, 4096, 6144, 8192, 12_288, 16_384, 32_768)

_KNOTS: dict[str, tuple[int, ...]] = {
    "tokens": (1, 2, 4, *_ROWS),
    "prefilled": (16, *range(64, 257, 32), 320, 384, 448, 512, 640, 768, 1024, *_LONG_STEPS),
    "context": (1, 2, 4, 8, 16, 32, 64, 96, 128, 160, 192, 224, 256, 320, 384, 512, 768, 1024),
    "longest": (128, 512, 1024, 2048, 4096, 8192, 16_384, 32_768, 65_536, 131_072),
    "fresh": (64, 256, 512, 1024, 2048, 4095, 4096, 8192, 16_384, 32_768, 131_072),
    "continued": (16, 32, 64, 128, 208, 256, 320, 512, 768, 1024, 1025, 1536, 2048, 4096, 8192, 16_384),
}

_PULL = 0.7
"""Strength of the pull towards zero. Its square is the number of steps that it takes for half of a correction to be
applied, if each of them is as informative as the most informative step."""

_FEWEST = 50
_FOLDS = 5
_ROUNDS = 4  # of reweighting
_DISTURBED = 3.0  # from 3 median errors on, a step weighs less


@dataclass(frozen=True, slots=True)
class StepFit:
    """A fitted model, and its cross-validated errors on kinds of steps that it was not fitted to."""

    rates: Rates
    corrections: Corrections
    error: dict[str, RegionError]


def fit_profile(steps: Columns, geometry: ModelGeometry, row_sizes: Sequence[int] = ()) -> StepFit:
    """Fit to measured single steps.

    Args:
        steps: at least `COLUMNS`, one row for each step; steps without work are left out.
        row_sizes: batch sizes of the captured CUDA graphs, ascending; a step that only decodes is padded to the next.

    Raises:
        InvalidProfile: too few steps, or missing columns.
    """
    table = _Table.of(steps, geometry, row_sizes)
    folds = table.folds()
    predicted = np.zeros(len(table))
    for fold in range(_FOLDS):
        held_out = folds == fold
        rates, corrections = _fit(table.where(~held_out))
        predicted[held_out] = _predict(table.where(held_out), rates, corrections)
    rates, corrections = _fit(table)
    return StepFit(rates, corrections, region_errors(predicted, table.duration, table.regions()))


def step_errors(steps: Columns, step_time: StepTime) -> RegionError | None:
    """The error of a model's durations on the steps of a real run; None if no step did work."""
    names = [name for name in COLUMNS if name != "duration_ns"]
    measured = np.asarray(steps["duration_ns"], dtype=np.float64) * 1e6
    worked = (np.asarray(steps["prefill_tokens"]) + np.asarray(steps["decode_rows"]) > 0) & (measured > 0)
    rows = zip(*(steps[name][worked].tolist() for name in names), strict=True)
    predict = native(step_time).cumulative_fs
    predicted = [predict(StepWork(**dict(zip(names, row, strict=True))), 1) for row in rows]
    everything = np.ones(int(worked.sum()), dtype=bool)
    return region_errors(np.array(predicted, dtype=np.float64), measured[worked], {"all": everything}).get("all")


def region_errors(
    predicted: Array, measured: Array, regions: Mapping[str, npt.NDArray[np.bool_]]
) -> dict[str, RegionError]:
    """The errors of predictions in each region.

    Args:
        predicted, measured: (rows,), in the same unit.
        regions: a mask of shape (rows,) for each region; regions without a row are left out.
    """
    found = {}
    for name, mask in regions.items():
        if not mask.any():
            continue
        off = np.abs(predicted[mask] / measured[mask] - 1)
        found[name] = RegionError(
            steps=int(mask.sum()),
            median=float(np.median(off)),
            p95=float(np.percentile(off, 95)),
            total=float(predicted[mask].sum() / measured[mask].sum() - 1),
        )
    return found


@dataclass(frozen=True, slots=True)
class _Table:
    """Measured steps as columns of floats; durations in femtoseconds."""

    column: dict[str, Array]
    head: float
    """Cost of one row of the output head, in tokens of the other products."""
    swap_fs: float | None
    """Cost of copying one byte, if copies were measured alone."""
    row_sizes: tuple[int, ...]

    @classmethod
    def of(cls, steps: Columns, geometry: ModelGeometry, row_sizes: Sequence[int]) -> "_Table":
        missing = [name for name in COLUMNS if name not in steps]
        if missing:
            raise InvalidProfile(f"the steps lack {', '.join(missing)}: an older version recorded them; measure again")
        equal_steps = steps.get("steps")
        if equal_steps is not None and len(equal_steps) and int(equal_steps.max()) > 1:
            raise InvalidProfile("rows of several steps, as simulations have them: a fit needs measured single steps")
        column = {name: np.asarray(steps[name], dtype=np.float64) for name in COLUMNS}
        column["tokens"] = column["prefill_tokens"] + column["decode_rows"]
        sizes = np.array([*row_sizes, np.inf])
        filled = sizes[np.searchsorted(sizes, column["decode_rows"])]
        only_decodes = (column["prefill_tokens"] == 0) & (column["decode_rows"] > 0) & np.isfinite(filled)
        column["tokens"][only_decodes] = filled[only_decodes]
        worked = np.asarray(np.logical_and(column["tokens"] > 0, column["duration_ns"] > 0))
        if worked.sum() < _FEWEST:
            raise InvalidProfile(f"{int(worked.sum())} measured steps are too few: a fit needs at least {_FEWEST}")
        head = geometry.vocab * geometry.hidden
        copied = (column["tokens"] == 0) & (column["swap_bytes"] > 0)
        rates = column["duration_ns"][copied] * 1e6 / column["swap_bytes"][copied]
        return cls(
            {name: each[worked] for name, each in column.items()},
            head / (geometry.matmul_parameters - head),
            float(np.median(rates)) if copied.any() else None,
            tuple(row_sizes),
        )

    def __len__(self) -> int:
        return len(self.column["tokens"])

    def where(self, mask: npt.NDArray[np.bool_]) -> "_Table":
        return _Table({name: each[mask] for name, each in self.column.items()}, self.head, self.swap_fs, self.row_sizes)

    @property
    def duration(self) -> Array:
        return self.column["duration_ns"] * 1e6

    def folds(self) -> npt.NDArray[np.int64]:
        """The cross-validation fold of each step, shape (rows,).

        Steps with equal prefill tokens and equal decode rows are of one kind. All steps of a kind are in one fold.

        Raises:
            InvalidProfile: fewer kinds than folds.
        """
        kinds = np.column_stack([self.column["prefill_tokens"], self.column["decode_rows"]])
        found, kind = np.unique(kinds, axis=0, return_inverse=True)
        if len(found) < _FOLDS:
            raise InvalidProfile(f"the steps are of {len(found)} kinds only: a fit needs at least {_FOLDS}")
        return np.asarray(kind.reshape(-1) % _FOLDS)

    def regions(self) -> dict[str, npt.NDArray[np.bool_]]:
        c = self.column
        prefills, decodes = c["prefill_tokens"] > 0, c["decode_rows"] > 0
        few, small = c["decode_rows"] <= 32, c["prefill_tokens"] <= 512
        return {
            "all": np.ones(len(self), dtype=bool),
            "decode, up to 32 rows": decodes & ~prefills & few,
            "decode, more rows": decodes & ~prefills & ~few,
            "prefill up to 512 tokens": prefills & small,
            "prefill of more, beside decoding": prefills & ~small & decodes,
            "prefill of more, alone": prefills & ~small & ~decodes,
        }

    def weights(self) -> Array:
        """(rows,): weights that make errors relative to the duration, and give each region the same weight."""
        weight = np.zeros(len(self))
        for name, mask in self.regions().items():
            if name != "all" and mask.any():
                weight[mask] = 1 / np.sqrt(mask.sum())
        return weight / self.duration


def _fit(table: _Table) -> tuple[Rates, Corrections]:
    weights = table.weights()
    rates = _fit_rates(table, weights)
    corrections = Corrections()
    for _ in range(_ROUNDS):
        off = np.abs(_predict(table, rates, corrections) / table.duration - 1)
        disturbed = np.maximum(off / (_DISTURBED * max(float(np.median(off)), 0.002)), 1)
        robust = weights / np.sqrt(disturbed)
        rates = _fit_rates(table, robust)
        corrections = _fit_corrections(table, robust, rates)
    return rates, corrections


def _fit_rates(table: _Table, weights: Array) -> Rates:
    c = table.column
    work = c["tokens"] + table.head * c["sampled_rows"]
    prefills = (c["prefill_tokens"] > 0).astype(np.float64)
    others = [
        c["fresh_pairs"],
        c["prefill_pairs"] - c["fresh_pairs"],
        c["prefill_context"],
        c["context_tokens"],
        c["swap_bytes"] if table.swap_fs is None else np.zeros(len(table)),
        np.ones(len(table)),
        prefills,
        prefills * (c["decode_rows"] > 0),
    ]
    target = weights * (table.duration - c["swap_bytes"] * (table.swap_fs or 0))
    best: tuple[float, int, Array] | None = None
    for crossing in CROSSINGS:
        columns = np.column_stack([np.maximum(work, crossing), *others]) * weights[:, None]
        found = non_negative(columns, target)
        left = float(np.square(columns @ found - target).sum())
        if best is None or left < best[0]:
            best = left, crossing, found
    assert best is not None
    _, crossing, found = best
    token, fresh, continued, chunk_context, context, swap, overhead, prefill, mixed = (round(x) for x in found)
    return Rates(
        weights_fs=token * crossing,
        token_fs=token,
        sample_fs=round(token * table.head),
        fresh_pair_fs=fresh,
        continued_pair_fs=continued,
        chunk_context_fs=chunk_context,
        context_fs=context,
        swap_fs=swap if table.swap_fs is None else round(table.swap_fs),
        overhead_fs=overhead,
        prefill_fs=prefill,
        mixed_fs=mixed,
    )


def _fit_corrections(table: _Table, weights: Array, rates: Rates) -> Corrections:
    c = table.column
    continued_tokens = c["prefill_tokens"] - c["fresh_tokens"]
    length = np.floor(2 * c["fresh_pairs"] / np.maximum(c["fresh_tokens"], 1))
    at_and_times = {
        "tokens": (c["tokens"], (c["prefill_tokens"] == 0).astype(np.float64)),
        "prefilled": (c["tokens"], (c["prefill_tokens"] > 0).astype(np.float64)),
        "context": (c["decode_rows"], c["context_tokens"]),
        "longest": (c["longest_context"], (c["decode_rows"] > 0).astype(np.float64)),
        "fresh": (length, c["fresh_pairs"]),
        "continued": (continued_tokens, c["prefill_pairs"] - c["fresh_pairs"]),
    }
    hats_of = {name: _hats(at, _KNOTS[name]) for name, (at, _) in at_and_times.items()}
    columns = np.column_stack([hats_of[name] * (times * weights)[:, None] for name, (_, times) in at_and_times.items()])
    used = np.asarray(np.abs(columns).max(axis=0) > 0)
    # By how much a knot changes the step that it influences most, if that step lay exactly at the knot.
    strongest = np.concatenate(
        [
            np.where(hats > 0, np.abs(times * weights)[:, None], 0).max(axis=0)
            for (_, times), hats in zip(at_and_times.values(), hats_of.values(), strict=True)
        ]
    )
    left = weights * (table.duration - _predict(table, rates, Corrections()))
    values = np.zeros(len(used))
    values[used] = damped(columns[:, used], left, _PULL * strongest[used])
    tables, start = {}, 0
    for name, knots in _KNOTS.items():
        here = slice(start, start + len(knots))
        tables[name] = [
            (at, round(value)) for at, value, is_used in zip(knots, values[here], used[here], strict=True) if is_used
        ]
        start += len(knots)
    return Corrections(**tables, row_sizes=list(table.row_sizes))


def _hats(at: Array, knots: tuple[int, ...]) -> Array:
    """(rows, knots): the weight of each knot in the linear interpolation at each row; each row sums to 1."""
    places = np.asarray(knots, dtype=np.float64)
    right = np.clip(np.searchsorted(places, at, side="right"), 1, len(places) - 1)
    share = np.clip((at - places[right - 1]) / (places[right] - places[right - 1]), 0, 1)
    found = np.zeros((len(at), len(places)))
    rows = np.arange(len(at))
    found[rows, right - 1] = 1 - share
    found[rows, right] += share
    return found


def _predict(table: _Table, rates: Rates, corrections: Corrections) -> Array:
    """(rows,): durations in femtoseconds, as the core computes them except for rounding."""
    c, r = table.column, rates
    prefills = c["prefill_tokens"] > 0
    length = np.floor(2 * c["fresh_pairs"] / np.maximum(c["fresh_tokens"], 1))

    def corrected(knots: list[tuple[int, int]], at: Array) -> Array:
        if not knots:
            return np.zeros(len(at))
        places, values = zip(*knots, strict=True)
        return np.asarray(np.interp(at, places, values))

    continued = r.continued_pair_fs + corrected(corrections.continued, c["prefill_tokens"] - c["fresh_tokens"])
    decodes = c["decode_rows"] > 0
    each = (
        r.overhead_fs
        + np.maximum(r.weights_fs, c["tokens"] * r.token_fs + c["sampled_rows"] * r.sample_fs)
        + np.where(prefills, corrected(corrections.prefilled, c["tokens"]), corrected(corrections.tokens, c["tokens"]))
        + prefills * (r.prefill_fs + r.mixed_fs * decodes)
        + c["fresh_pairs"] * (r.fresh_pair_fs + corrected(corrections.fresh, length))
        + (c["prefill_pairs"] - c["fresh_pairs"]) * continued
        + c["prefill_context"] * r.chunk_context_fs
    )
    floor = decodes * -min([0, *(value for _, value in corrections.longest)])
    return np.asarray(
        np.maximum(each, floor)
        + c["context_tokens"] * np.maximum(r.context_fs + corrected(corrections.context, c["decode_rows"]), 0)
        + decodes * corrected(corrections.longest, c["longest_context"])
        + c["swap_bytes"] * r.swap_fs
    )
