"""The page: self-contained, whole, safe, and the same every time."""

import re
from html.parser import HTMLParser

import msgspec
import pytest
from support.experiments import experiment

from warpgroup.csrc import parse_policy
from warpgroup.errors import InvalidRun, OutputRefused
from warpgroup.metrics import GLOSSARY
from warpgroup.records import Run
from warpgroup.reports import Study, render, write_report
from warpgroup.reports.provenance import facts
from warpgroup.reports.svg import INK
from warpgroup.sim import simulate


class Reader(HTMLParser):
    """Collects what a page loads and its ids."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.ids: list[str] = []
        self.text = ""

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            if name == "id":
                self.ids.append(value)
            if name in ("src", "href", "xlink:href") and not value.startswith(("#", "data:")):
                self.loads.append(value)

    def handle_data(self, data):
        self.text += data


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    return reader


@pytest.fixture(scope="module")
def page(runs) -> str:
    return render(Study.of(runs))


def test_nothing_is_loaded_from_anywhere(page):
    assert read(page).loads == []
    assert "@import" not in page
    assert not re.search(r"url\((?!#)", page)


def test_every_policy_fact_and_term_is_on_the_page(page, runs):
    text = read(page).text
    for wanted in (*(run.info.policy for run in runs), runs[0].info.scenario.trace.content_hash, *GLOSSARY):
        assert wanted in text
    trusted = ("analytic roofline for tiny-device", "not calibrated", "p99 figures are withheld")
    for wanted in ("warpgroup compare", *trusted):
        assert wanted in text


def test_figures_have_a_title_a_description_and_the_pages_ink(page):
    assert page.count('role="img" xmlns') == page.count("<desc>") == 5
    assert INK not in page
    assert "currentColor" in page


def test_ids_are_unique(page):
    ids = read(page).ids
    assert len(ids) == len(set(ids))


def test_a_page_is_small(page):
    assert len(page) < 1_500_000


def test_the_same_runs_give_the_same_bytes(page, runs):
    assert render(Study.of(runs)) == page


def test_a_name_with_markup_is_shown_and_not_run(runs):
    scenario = msgspec.structs.replace(runs[3].info.scenario, name="<script>alert(1)</script>")
    hostile = Run(msgspec.structs.replace(runs[3].info, scenario=scenario), *_tables(runs[3]))
    page = render(Study.of([hostile]))
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page


def test_an_interrupted_run_is_flagged(runs):
    cut = Run(msgspec.structs.replace(runs[3].info, complete=False), *_tables(runs[3]))
    assert read(render(Study.of([cut, runs[4]]))).text.count("INCOMPLETE") >= 3


def test_a_run_in_which_nothing_finished_still_has_a_page():
    run = simulate(experiment([(0, 5000, 5)], kv_blocks=10), parse_policy("paged"))
    text = read(render(Study.of([run]))).text
    assert "paged finished 0 of 1 requests" in text
    assert "1 rejected of 1 requests" in text


def test_out_of_memory_steps_are_marked_and_counted_in_the_figure(page, runs):
    ooms = runs[1].info.summary["ooms"]
    assert ooms > 0
    assert f"count-static(n=40): {ooms:,} out-of-memory steps" in page


def test_the_page_is_written_whole_or_not_at_all(tmp_path, runs):
    write_report(Study.of(runs[3:]), tmp_path / "report.html")
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    with pytest.raises(OutputRefused, match="cannot write"):
        write_report(Study.of(runs[3:]), tmp_path / "missing" / "report.html")
    with pytest.raises(InvalidRun, match="no run"):
        render(Study.of([]))


def _changed(run: Run, **facts) -> Run:
    return Run(msgspec.structs.replace(run.info, **facts), *_tables(run))


def test_every_command_is_on_the_page_once(runs):
    made = [
        _changed(run, command=f"warpgroup {name}") for run, name in zip(runs, ("first", "first", "other"), strict=False)
    ]
    page = render(Study.of(made))
    assert re.findall(r'<pre id="(\w+)" tabindex="0">(.*)</pre>', page) == [
        ("command1", "warpgroup first"),
        ("command2", "warpgroup other"),
    ]
    assert re.findall(r'data-copies="(\w+)"', page) == ["command1", "command2"]


def test_versions_are_of_each_run(runs):
    newer = _changed(runs[4], versions={"warpgroup": "9.9"})
    text = read(render(Study.of([runs[3], newer]))).text
    assert "versions of ffd" in text
    assert "warpgroup 9.9" in text
    assert "versions of" not in read(render(Study.of(runs[3:]))).text


def test_the_budget_is_a_fact(runs):
    budget = runs[0].info.scenario.memory.budget_bytes
    assert ("VRAM budget", f"{budget / 2**30:.2f} GiB") in facts(Study.of(runs))


def test_a_table_of_the_first_seed_is_said_to_be_one_and_no_tied_run_is_best(runs):
    run = runs[3]
    groups = [[run.info], [run.info, msgspec.structs.replace(run.info, seed=1)]]
    page = render(Study([run, _changed(run, note="again")], groups, [], []))
    assert "Of the first seed." in page
    assert "No difference between" in page
    assert "(best)" not in page
    assert "Of the first seed." not in render(Study.of(runs[3:]))


def _tables(run: Run):
    return run.requests, run.steps, run.events


def test_tiles_are_of_the_seeds_that_the_verdict_is_of(runs, info_with):
    """The winner was run on one seed more, and had an easy time there."""
    goodputs = {"paged": [1.0, 1.0], "ffd": [2.0, 2.0, 99.0]}
    replicates = [
        [info_with(policy, seed=seed, goodput_req_s=each) for seed, each in enumerate(values)]
        for policy, values in goodputs.items()
    ]
    compared = [Run(group[0], *_tables(runs[3])) for group in replicates]
    page = render(Study(compared, replicates, ladder=[], sweeps=[]))
    assert "ffd wins: 2.00x [2.00, 2.00] the goodput of paged" in page
    assert "2.00 requests/s" in page
    assert "34.3 requests/s" not in page
