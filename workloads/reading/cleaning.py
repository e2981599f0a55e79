"""Decides for each row of any format whether it can be used, and names the reason if it cannot."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import numpy as np

from ...errors import InvalidTrace
from ..quantities import LONGEST_SPAN_S, LONGEST_TOKENS
from ..readers.raw import Flags, Floats, RawBlocks, RawRows, RawTurns
from ..trace import Column
from ..trace.trace import OUTPUT_CLIPPED

ZeroOutputs = Literal["drop", "prefill-only"]

_PLAUSIBLE_RATE = (1e-4, 1e5)
_TIME_UNREADABLE = "time_not_readable"
_BLOCKS_UNREADABLE = "prefix_blocks_not_readable"
_BLOCKS_MISFIT = "prefix_blocks_do_not_fit_the_prompt"


@dataclass(frozen=True, slots=True)
class Rules:
    """What is done with rows that cannot be used as they are.

    Attributes:
        max_new_tokens: longer outputs are clipped to it, as a server would.
        zero_outputs: requests without output failed, or only filled a cache. `drop` leaves them out; `prefill-only`
            keeps them with an output of 1 token, since every engine ends a prefill with one token.
        strict: refuse the file at the first row that would be dropped or changed.
    """

    max_new_tokens: int
    zero_outputs: ZeroOutputs = "drop"
    strict: bool = False

    def __post_init__(self) -> None:
        if self.zero_outputs not in get_args(ZeroOutputs):
            raise InvalidTrace(f"zero_outputs is '{self.zero_outputs}', expected {' or '.join(get_args(ZeroOutputs))}")


@dataclass(frozen=True, slots=True)
class Requests:
    """Requests in the order of their file. Times are those of the file, or 0 where it has none."""

    row: Column
    time_ns: Column
    prompt_tokens: Column
    output_tokens: Column
    turns: RawTurns | None
    blocks: RawBlocks | None = None


class Finding(NamedTuple):
    """A reason, the number of rows that it applies to, the first of them, and a text about that one."""

    reason: str
    rows: int
    first_row: int
    example: str


@dataclass(slots=True)
class Cleaning:
    """Checks the rows of a file, some at a time, and counts what becomes of them.

    `rows_read == kept + sum(dropped.values())` always holds; `repaired` counts rows that were kept, and `examples` has
    the first row of each reason.
    """

    path: Path
    rules: Rules
    rows_read: int = 0
    kept: int = 0
    has_times: bool = False
    dropped: dict[str, int] = field(default_factory=dict)
    repaired: dict[str, int] = field(default_factory=dict)
    examples: dict[str, str] = field(default_factory=dict)
    _earliest_ns: int = 0
    _latest_ns: int = 0
    _last_ns: int = 0
    _rows_with_blocks: int = 0
    _pauses_s: float = 0.0
    _left_out: dict[int, tuple[int, bool]] = field(default_factory=dict)
    """For each dropped row, by its number: the row that it follows, and whether it waits for that one."""

    def clean(self, raw: RawRows) -> Requests:
        """The rows that can be used, repaired where a server would do the same.

        Raises:
            InvalidTrace: under strict rules, a row that cannot be used as it stands.
        """
        usable, dropped = _usable(raw, self.rules)
        blocks, without = (None, []) if raw.blocks is None else self._fitting(raw, raw.blocks, usable)
        turns = raw.turns and self._bypassed(raw, raw.turns, usable)
        requests, repaired = _repaired(raw, usable, self.rules, turns, blocks)
        repaired += without
        if raw.time_ns is not None:
            self.has_times = True
            repaired += self._followed(requests)
        self.note(dropped, repaired)
        self.rows_read += len(raw.row) + len(raw.unreadable)
        self.kept += len(requests.row)
        return requests

    def note(self, dropped: list[Finding], repaired: list[Finding]) -> None:
        """Count findings.

        Raises:
            InvalidTrace: there is any finding, and the rules are strict.
        """
        if self.rules.strict and (dropped or repaired):
            worst = min(dropped + repaired, key=lambda finding: finding.first_row)
            raise InvalidTrace(f"{self.path} {worst.example} ({worst.reason}): strict reading drops and changes no row")
        for counts, findings in ((self.dropped, dropped), (self.repaired, repaired)):
            for finding in findings:
                counts[finding.reason] = counts.get(finding.reason, 0) + finding.rows
                self.examples.setdefault(finding.reason, finding.example)

    @property
    def blocks_fit(self) -> bool:
        """Whether most prompts have as many blocks as they need; if not, the block size is not that of the format."""
        return 2 * self.repaired.get(_BLOCKS_MISFIT, 0) <= self._rows_with_blocks

    def finish(self) -> None:
        """Check the file as a whole, after its last rows.

        Raises:
            InvalidTrace: no row was kept, or the times imply a rate that no service has.
        """
        if not self.kept:
            why = ", ".join(f"{reason} {count}" for reason, count in self.dropped.items()) or "it has no rows"
            first = next(iter(self.examples.values()), "")
            raise InvalidTrace(f"{self.path} holds no usable row: {why}" + (f" (first: {first})" if first else ""))
        without_time = self.dropped.get(_TIME_UNREADABLE, 0)
        if 2 * without_time > self.rows_read:
            raise InvalidTrace(
                f"{self.path}: the time of {without_time} of {self.rows_read} rows cannot be read (first: "
                f"{self.examples[_TIME_UNREADABLE]}): is the time in another unit than the format says?"
            )
        span_s = (self._latest_ns - self._earliest_ns) / 1e9
        rate = (self.kept - 1) / span_s if span_s else 0.0
        lowest, highest = _PLAUSIBLE_RATE
        if span_s + self._pauses_s > LONGEST_SPAN_S:
            raise InvalidTrace(
                f"{self.path}: {self.kept} requests take {span_s + self._pauses_s:.3g} s: is the time in another unit "
                "than the format says?"
            )
        if span_s and not lowest <= rate <= highest:
            raise InvalidTrace(
                f"{self.path}: {self.kept} requests in {span_s:g} s are {rate:.3g} per second, which is implausible: "
                "is the time in another unit than the format says?"
            )

    def _followed(self, requests: Requests) -> list[Finding]:
        """Note the times of these rows, and find those that are earlier than the row before them."""
        waits = requests.turns.think_ns >= 0 if requests.turns else np.zeros(len(requests.row), dtype=bool)
        times, rows = requests.time_ns[~waits], requests.row[~waits]
        if not len(times):
            return []
        before = np.concatenate([[self._last_ns if self.kept else times[0]], times[:-1]])
        earliest, latest = int(times.min()), int(times.max())
        self._earliest_ns = min(self._earliest_ns, earliest) if self.kept else earliest
        self._latest_ns = max(self._latest_ns, latest) if self.kept else latest
        self._last_ns = int(times[-1])
        return list(_finding(times < before, "time_went_back_sorted", rows, "earlier than the row before it"))

    def _fitting(self, raw: RawRows, blocks: RawBlocks, usable: Flags) -> tuple[RawBlocks, list[Finding]]:
        """The blocks of usable rows. A row whose blocks are unreadable, or too few or many, is kept without blocks."""
        counts, row = blocks.counts[usable], raw.row[usable]
        whole = raw.prompt[usable] // blocks.block_tokens
        unreadable = counts < 0
        fits = (counts >= whole) & (counts <= whole + 1)
        misfit = (counts > 0) & ~fits
        self._rows_with_blocks += int((counts > 0).sum())
        each = f", of {blocks.block_tokens} tokens each"
        found = [
            *_finding(unreadable, _BLOCKS_UNREADABLE, row, "the prefix blocks are not a list of ids"),
            *_finding(misfit, _BLOCKS_MISFIT, row, "the number of prefix blocks", counts, each),
        ]
        kept = np.zeros(len(raw.row), dtype=bool)
        kept[usable] = (counts > 0) & fits
        ids = blocks.ids[np.repeat(kept, np.maximum(blocks.counts, 0))]
        return RawBlocks(blocks.block_tokens, np.where(kept, blocks.counts, 0)[usable], ids), found

    def _bypassed(self, raw: RawRows, turns: RawTurns, usable: Flags) -> RawTurns:
        """The turns of usable rows. A turn whose predecessor was dropped follows the predecessor of that one."""
        before, waits = turns.after_row.copy(), turns.think_ns >= 0
        for i in np.flatnonzero(~usable).tolist():
            self._left_out[int(raw.row[i])] = int(before[i]), bool(waits[i])
        lost = np.isin(before, list(self._left_out)) if self._left_out else np.zeros(len(before), dtype=bool)
        for i in np.flatnonzero(lost & usable).tolist():
            while (found := self._left_out.get(int(before[i]))) is not None:
                before[i] = found[0]
                waits[i] &= found[1]  # it cannot wait in the place of a row that did not
        think_ns = np.where(waits, turns.think_ns, -1)[usable]
        self._pauses_s += float(np.maximum(think_ns, 0).sum(dtype=np.float64)) / 1e9
        return RawTurns(turns.session[usable], before[usable], think_ns)


def _usable(raw: RawRows, rules: Rules) -> tuple[Flags, list[Finding]]:
    """Which rows are kept. Each other row is counted under the first reason that applies."""
    keep = np.ones(len(raw.row), dtype=bool)
    found = []
    if raw.unreadable:
        number, text = raw.unreadable[0]
        found.append(Finding("unreadable_row", len(raw.unreadable), number, f"row {number}: {text}"))
    for bad, reason, what, values in _objections(raw, rules):
        found += _finding(bad & keep, reason, raw.row, what, values)
        keep &= ~bad
    return keep, found


def _objections(raw: RawRows, rules: Rules) -> Iterator[tuple[Flags, str, str, Floats | None]]:
    """Rows that cannot be used, the reason, and the text and values for the example."""
    lengths = (("prompt_tokens", raw.prompt), ("output_tokens", raw.output))
    for name, values in lengths:
        yield ~np.isfinite(values), f"{name}_not_a_number", f"{name} is not a number", None
    for name, values in lengths:
        whole = np.floor(np.where(np.isfinite(values), values, 1))
        yield np.isfinite(values) & (whole != values), f"{name}_not_an_integer", name, values
        yield whole < 0, f"{name}_negative", name, values
        if name == "prompt_tokens" or rules.zero_outputs == "drop":
            yield whole == 0, f"{name}_zero", name, values
        yield whole > LONGEST_TOKENS, f"{name}_too_large", name, values
    if raw.time_ns is not None:
        yield ~raw.time_known, _TIME_UNREADABLE, "the arrival time cannot be read", None


def _repaired(
    raw: RawRows, usable: Flags, rules: Rules, turns: RawTurns | None, blocks: RawBlocks | None
) -> tuple[Requests, list[Finding]]:
    """The usable rows as they will be run, and what was changed in them."""
    row = raw.row[usable]
    prompt, output = raw.prompt[usable].astype(np.int64), raw.output[usable].astype(np.int64)
    found: list[Finding] = []
    if raw.total is not None:
        total = raw.total[usable]
        found += _finding(
            np.isfinite(total) & (total != prompt + output), "total_tokens_recomputed", row, "the total given", total
        )
    if raw.turns is not None and raw.turns.mended is not None:
        found += _finding(
            raw.turns.mended[usable], "pause_taken_for_none", row, "the pause before it is negative or too long"
        )
    found += _finding(output == 0, "output_zero_kept_as_prefill", row, "output_tokens is 0")
    limit = f", limit {rules.max_new_tokens}"
    clipped = output > rules.max_new_tokens
    found += _finding(clipped, OUTPUT_CLIPPED, row, "output_tokens", output, limit)
    requests = Requests(
        row=row,
        time_ns=np.zeros(len(row), dtype=np.int64) if raw.time_ns is None else raw.time_ns[usable],
        prompt_tokens=prompt,
        output_tokens=np.clip(output, 1, rules.max_new_tokens),
        turns=turns,
        blocks=blocks,
    )
    return requests, found


def _finding(
    flags: Flags, reason: str, rows: Column, what: str, values: Floats | Column | None = None, after: str = ""
) -> Iterator[Finding]:
    """One finding if any row is flagged, with the value of the first such row if values are given."""
    if flags.any():
        first = int(np.argmax(flags))
        value = "" if values is None else f" is {values[first]:g}"
        yield Finding(reason, int(flags.sum()), int(rows[first]), f"row {rows[first]}: {what}{value}{after}")
