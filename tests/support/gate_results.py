"""Results of gates: random ones, and ones with given figures."""

from html.parser import HTMLParser

from hypothesis import strategies as st

from warpgroup.reports.gate.classes.registry import shown_classes
from warpgroup.reports.gate.result import Check, GateResult, Outcome

HOSTILE = (
    "</script><img src=x onerror=alert(1)>",
    "<script>alert(1)</script>",
    "a | b\n| c | d |",
    "`code` **bold** [link](https://example.org) @someone",
    "[red]markup[/red] [/]",
    "%0A::error::injected, a: b\r\n::warning::too",
    "bell \x07 escape \x1b[31m nul \x00 turned \u202e\ufffe",
    "costs $\\frac{$ more",
    "long" * 3_000,
    "",
)

_text = st.one_of(st.sampled_from(HOSTILE), st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
_number = st.floats(-2, 2, allow_nan=False)
_value = st.one_of(st.none(), _text, st.integers(-(2**63), 2**63), st.floats(allow_nan=False))

checks = st.builds(
    Check,
    kind=st.sampled_from(list(shown_classes())),
    name=_text,
    metric=_text,
    outcome=st.sampled_from(Outcome),
    base=_value,
    head=_value,
    change=st.none() | st.floats(allow_nan=False),
    interval=st.none() | st.tuples(_number, _number).map(lambda pair: (min(pair), max(pair))),
    threshold=st.none() | _number,
    detail=_text,
)
results = st.builds(
    GateResult,
    date=st.just("2026-11-24T19:20:11Z"),
    command=_text,
    base=_text,
    head=_text,
    machine=st.dictionaries(_text, _text, max_size=3),
    seconds=st.floats(0, 1e4),
    checks=st.lists(checks, max_size=12),
    notes=st.lists(_text, max_size=3),
)


def gate(*found: Check, date: str = "2026-11-24T19:20:11Z", head: str = "working tree", **others) -> GateResult:
    others = {"machine": {"cpu": "two cores"}, "notes": []} | others
    return GateResult(date, "warpgroup gate run --base main", "9198ee6", head, seconds=12.5, checks=[*found], **others)


def exact(outcome: Outcome, name: str = "chat ffd", **others) -> Check:
    return Check("exact", name, "makespan, s", outcome, **({"base": 5, "head": 5} | others))


def timed(outcome: Outcome, name: str = "packing", **others) -> Check:
    figures = {"base": 2.0, "head": 2.1, "change": 0.05, "interval": (0.03, 0.07), "threshold": 0.025}
    return Check("timed", name, "CPU time, ms", outcome, **(figures | others))


HOSTILE_GATE = gate(
    *(exact(outcome, name, detail=name) for name in HOSTILE for outcome in (Outcome.CHANGED, Outcome.PASSED)),
    *(timed(Outcome.INCONCLUSIVE, name, detail=name) for name in HOSTILE),
    head=HOSTILE[0],
    machine={HOSTILE[1]: HOSTILE[0]},
    notes=list(HOSTILE),
)


class Tags(HTMLParser):
    """The tags, attributes and text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.attributes += attributes

    def handle_data(self, data):
        self.text += data
