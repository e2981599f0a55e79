"""The glossary explains the words of a report."""

import pytest

from warpgroup.records.merit import ENOUGH_IN_TIME, FEWEST_IN_TIME, TIE
from warpgroup.reports.comparison.glossary import GLOSSARY


@pytest.mark.parametrize(
    "word",
    [
        *("TTFT", "TPOT", "ITL", "E2E", "goodput", "throughput", "OOM", "recompute tax", "padding waste"),
        *("best count", "first-fit decreasing", "ablation", "parity check"),
    ],
)
def test_every_term_of_a_report_is_explained(word):
    assert GLOSSARY[word]


def test_thresholds_are_those_of_the_ranking():
    assert f"at most {100 * TIE:g} %" in GLOSSARY["tie"]
    assert f"at least {100 * ENOUGH_IN_TIME:g} % of the requests, and at least {FEWEST_IN_TIME}" in GLOSSARY["goodput"]
