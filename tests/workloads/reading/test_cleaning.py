"""Rows are judged alike in whatever portions they come."""

from itertools import pairwise
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from warpgroup.errors import InvalidTrace
from warpgroup.workloads.readers.raw import RawRows
from warpgroup.workloads.reading.cleaning import Cleaning, Rules

lengths = st.sampled_from([-1.0, 0.0, 0.5, 1.0, 7.0, 99.0, 3e9, np.nan, np.inf])
rows = st.lists(st.tuples(st.integers(0, 5), st.booleans(), lengths, lengths, lengths), max_size=12)


def raw(portion, first_row: int) -> RawRows:
    times, known, prompts, outputs, totals = zip(*portion, strict=True) if portion else ((),) * 5
    return RawRows(
        row=np.arange(first_row, first_row + len(portion)),
        prompt=np.array(prompts, dtype=float),
        output=np.array(outputs, dtype=float),
        total=np.array(totals, dtype=float),
        time_ns=np.array(times, dtype=np.int64) * 10**9,
        time_known=np.array(known, dtype=bool),
    )


def cleaned(portions, rules: Rules):
    cleaning, row, kept = Cleaning(Path("t"), rules), 1, []
    for portion in portions:
        requests = cleaning.clean(raw(portion, row))
        kept += zip(*(c.tolist() for c in (requests.row, requests.prompt_tokens, requests.output_tokens)), strict=True)
        row += len(portion)
    try:
        cleaning.finish()
    except InvalidTrace:
        kept.append("refused")
    return kept, cleaning.rows_read, cleaning.kept, cleaning.dropped, cleaning.repaired, cleaning.examples


@given(table=rows, cuts=st.lists(st.integers(0, 12)), zero_outputs=st.sampled_from(["drop", "prefill-only"]))
def test_it_does_not_matter_where_the_rows_are_cut(table, cuts, zero_outputs):
    rules = Rules(max_new_tokens=50, zero_outputs=zero_outputs)
    edges = [0, *sorted(min(cut, len(table)) for cut in cuts), len(table)]
    portions = [table[start:end] for start, end in pairwise(edges)]
    assert cleaned(portions, rules) == cleaned([table], rules)


@given(table=rows)
def test_a_row_is_kept_or_counted_once(table):
    _, read, kept, dropped, _, _ = cleaned([table], Rules(max_new_tokens=50))
    assert read == len(table) == kept + sum(dropped.values())


def test_times_that_go_back_between_portions_are_seen():
    sound = (True, 7.0, 7.0, 14.0)
    *_, repaired, examples = cleaned([[(3, *sound)], [(2, *sound), (4, *sound)]], Rules(max_new_tokens=50))
    assert repaired == {"time_went_back_sorted": 1}
    assert examples == {"time_went_back_sorted": "row 2: earlier than the row before it"}
