"""The page of a trace: whole, safe, the same every time, and without figures of what the trace lacks."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import msgspec
import numpy as np
import pytest
from support.prefixes import blocks_of

from warpgroup.reports.trace.capacity import too_large
from warpgroup.reports.trace.page import trace_page
from warpgroup.workloads import Trace, load_model
from warpgroup.workloads.trace.turns import Turns

HOSTILE = "</script></text></svg><img src=x onerror=hit()>\"'&amp;<!--$x$"


class Reader(HTMLParser):
    """Collects tags, texts, and what a page loads."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.loads: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.loads += [value for name, value in attributes if name in ("src", "href", "xlink:href", "action")]

    def handle_data(self, data):
        self.text += data


def whole(count: int = 40) -> Trace:
    """With times, conversations of which half of the requests wait, blocks, and rows that were dropped."""
    i = np.arange(count)
    rows = [(int(each) // 2 * 2 * 10**9, 20 + int(each) * 97 % 9000, 1 + int(each) % 37) for each in i]
    turns = Turns(i // 4, np.where(i % 2, i - 1, -1), np.where(i % 2, i * 10**8, -1))
    contents = [[each % 3] * (row[1] // 512 + 1) for each, row in enumerate(rows)]
    trace = Trace.of_rows(rows, max_new_tokens=50)
    reason = "output_tokens_zero"
    source = msgspec.structs.replace(
        trace.source, rows_read=count + 3, dropped={reason: 3}, examples={reason: "row 7: is 0"}
    )
    return replace(trace, turns=turns, prefix=blocks_of(512, contents), source=source)


@pytest.fixture(scope="module")
def page() -> str:
    return trace_page(whole(), load_model("llama-2-7b"))


def test_nothing_is_loaded_from_anywhere(page):
    assert [each for each in Reader(page).loads if not each.startswith(("#", "data:"))] == []
    assert not re.search(r"url\((?!#)|@import", page)


def test_the_same_trace_gives_the_same_bytes(page):
    assert trace_page(whole(), load_model("llama-2-7b")) == page


def test_figures_have_a_title_and_a_description(page):
    assert page.count("<svg ") == page.count("<title>") - 1 == page.count("<desc>") == 4


def test_of_what_a_trace_lacks_there_is_no_figure(page):
    less = trace_page(replace(whole(8), turns=None, prefix=None, has_times=False))
    assert less.count("<svg ") == 1
    for heading in ("When do requests arrive?", "Which requests form conversations?", "Which requests share a prefix?"):
        assert heading in page
        assert heading not in less


@pytest.mark.parametrize("rows", [[(0, 1, 1)], [(0, 2**31 - 1, 1), (10**16, 1, 1)]])
def test_a_trace_of_hardly_anything_has_a_page(rows):
    trace = Trace.of_rows(rows, max_new_tokens=1)
    every = Turns(*(np.full(len(trace), value) for value in (0, -1, -1)))
    blocks = blocks_of(2**30, [[0]] * len(trace))
    assert f"{len(rows)} requests" in trace_page(replace(trace, turns=every, prefix=blocks))


def test_what_became_of_every_row_is_told(page):
    text = Reader(page).text
    for wanted in ("43 read, 40 kept, 3 dropped", "output tokens zero", "row 7: is 0", "another tokenizer"):
        assert wanted in text
    assert whole().source.sha256 in text


def test_markup_in_names_is_text(page):
    trace = whole(8)
    about = {"path": HOSTILE, "format": HOSTILE, "transforms": (HOSTILE,)}
    source = msgspec.structs.replace(trace.source, repaired={HOSTILE: 1}, examples={HOSTILE: HOSTILE}, **about)
    read = Reader(trace_page(replace(trace, name=HOSTILE, source=source)))
    assert read.tags <= Reader(page).tags
    assert read.text.count(HOSTILE) >= 6


def test_requests_that_are_too_large_are_counted_by_hand():
    """Of four, one is beyond 4,096 tokens and two are beyond what 24 GB leave beside Llama-2-7B; 13B has no room."""
    trace = Trace.of_rows([(0, 4095, 1), (0, 4096, 1), (0, 30_000, 1), (0, 100_000, 1)], max_new_tokens=1)
    table = too_large(trace, load_model("tiny"))
    heads = [head for head, _ in table.heads]
    cells = {row[0].text: dict(zip(heads, (cell.text for cell in row), strict=True)) for row in table.rows}
    assert (cells["llama-2-7b"]["beyond it"], cells["llama-2-7b"]["rtx-4090"]) == ("75.0%", "50.0%")
    assert (cells["llama-2-13b"]["l4"], cells["llama-3.1-8b"]["h200"]) == ("too small", "none")
    assert "tiny" in cells
    assert "tiny" not in {row[0].text for row in too_large(trace).rows}
