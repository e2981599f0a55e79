"""The page: self-contained, whole, safe, and the same every time."""

import re
from html.parser import HTMLParser

import msgspec
import pytest
from support.experiments import experiment

from warpgroup.csrc import parse_policy
from warpgroup.errors import InvalidRun, OutputRefused
from warpgroup.records import MachineInfo, Run
from warpgroup.reports import Study, render, write_report
from warpgroup.reports.comparison.figures import protagonists
from warpgroup.reports.comparison.glossary import GLOSSARY
from warpgroup.reports.comparison.html import in_short
from warpgroup.reports.comparison.validity import Answer, Trust
from warpgroup.reports.figures import composition as composition_figure
from warpgroup.reports.figures import gantt as gantt_figure
from warpgroup.reports.figures import latency as latency_figure
from warpgroup.reports.figures import vram as vram_figure
from warpgroup.reports.figures import waste as waste_figure
from warpgroup.reports.judging.provenance import compared_policies, facts
from warpgroup.reports.judging.verdict import verdict
from warpgroup.reports.numbers import gib
from warpgroup.reports.page.svg import INK
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
    assert page.count('role="img" xmlns') == page.count("<desc>") == 5 + 3  # three are in two parts
    assert INK not in page
    assert "currentColor" in page


def test_few_policies_have_open_panels_and_the_others_are_folded_away_each_once(page, runs):
    """ffd wins before paged; count-static(n=2) is the baseline, and count-continuous(n=3) the best count."""
    folded = "".join(re.findall("<details>.*?</details>", page, flags=re.DOTALL))
    names = [run.info.policy for run in runs]
    for figure in (vram_figure, composition_figure, gantt_figure):
        titles = re.findall(rf"<title>{figure.TITLE}: (.*?)</title>", page)
        assert titles == ["count-static(n=2), count-continuous(n=3), paged, ffd", "count-static(n=40)"]
        assert f"<title>{figure.TITLE}: count-static(n=40)</title>" in folded
    assert page.count("<summary>The same of count-static(n=40)</summary>") == 3
    for figure in (latency_figure, waste_figure):
        assert f"<title>{figure.TITLE}: {', '.join(names)}</title>" in page
    assert "The same of" not in render(Study.of(runs[2:]))


@pytest.mark.parametrize(
    ("policies", "shown"),
    [
        ({"count-static(n=2)": 1, "paged": 3, "sarathi": 2, "ffd": 4, "skyline": 5}, [0, 3, 4]),
        ({"count-static(n=2)": 1, "count-continuous(n=9)": 2, "paged": 4, "ffd": 3, "orca": 2}, [0, 1, 2, 3]),
        ({"paged": 3, "sarathi": 2, "ffd": 4, "skyline": 5}, [2, 3]),
        ({"skyline": 5}, [0]),
    ],
)
def test_open_are_the_winner_the_runner_up_the_best_count_and_the_baseline(info_with, policies, shown):
    infos = [info_with(policy, goodput_req_s=float(goodput)) for policy, goodput in policies.items()]
    assert protagonists(verdict(infos)) == shown


def test_where_every_count_runs_out_of_memory_the_first_is_open(info_with):
    infos = [info_with("count-continuous(n=9)", ooms=4), *(info_with(policy) for policy in ("paged", "ffd", "orca"))]
    assert 0 in protagonists(verdict(infos))


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
    assert "Nothing finished: 1 of 1 requests rejected" in text
    assert "✖ fail" in text
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
    assert ("VRAM budget", gib(budget, 2)) in facts(Study.of(runs))


def test_what_was_done_to_the_requests_is_a_fact_of_the_first_seed_and_of_the_others(runs):
    def seed(number, *transforms):
        trace = msgspec.structs.replace(runs[3].info.scenario.trace, transforms=transforms)
        scenario = msgspec.structs.replace(runs[3].info.scenario, trace=trace)
        return msgspec.structs.replace(runs[3].info, seed=number, scenario=scenario)

    replicates = [seed(4, "rate x2"), seed(5, "rate x2", "reshuffled, seed 5")]
    study = Study.of([_changed(runs[3], seed=4, scenario=replicates[0].scenario)], [replicates], [], [])
    shown = dict(facts(study))
    assert shown["transforms"] == "rate ×2"
    assert shown["seeds"] == "4, 5; each later seed reshuffles the requests over the arrival times"
    assert dict(facts(Study.of(runs)))["seeds"] == "0"


def test_every_parameter_is_on_the_page_whether_given_or_not(info_with):
    names = ("count-static(n=2)", "count-static(n=32)", "ffd(margin=0.2)", "orca", "paged(of another version=1)")
    shown = {name: parameters for name, _, parameters in compared_policies([info_with(name) for name in names])}
    assert shown == {
        "count-static": ["n=2, timeout_s=1", "n=32, timeout_s=1"],
        "orca": [],
        "paged": ["of another version=1"],
        "ffd": ["margin=0.2, age_s=10, window=256"],
    }


def test_a_real_run_says_on_what_it_ran(runs):
    machine = {field.name: 0 for field in msgspec.structs.fields(MachineInfo)} | {
        "device": "NVIDIA H200", "driver": "570.1", "dtype": "bfloat16", "attention": "paged", "graphs": 12,
        "graph_rows": [], "degraded": False,
    }  # fmt: skip
    real = _changed(runs[3], kind="real", machine=MachineInfo(**machine))
    shown = dict(facts(Study.of([real, runs[4]])))["machine"]
    assert shown == (
        "NVIDIA H200, driver 570.1, bfloat16, attention by paged, 12 CUDA graphs, each step planned after the last, "
        "greedy"
    )
    assert "machine" not in dict(facts(Study.of(runs)))


def test_a_table_of_the_first_seed_is_said_to_be_one_and_no_tied_run_is_best(runs):
    run = runs[3]
    groups = [[run.info], [run.info, msgspec.structs.replace(run.info, seed=1)]]
    page = render(Study.of([run, _changed(run, note="again")], groups, [], []))
    assert "The table shows the first seed." in page
    assert "No difference between" in page
    assert "(best)" not in page
    assert "The table shows the first seed." not in render(Study.of(runs[3:]))


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
    page = render(Study.of(compared, replicates, ablation=[], sweeps=[]))
    assert "ffd wins: 2.00× [2.00, 2.00] the goodput of paged" in page
    assert "2.00 requests/s" in page
    assert "34.3 requests/s" not in page


def test_over_seeds_the_tile_is_the_mean_that_the_sentence_has_and_is_called_by_its_name(runs, info_with):
    """The arithmetic mean of 1 and 4 would be 2.5. One of 0 has no other."""
    for goodputs, tile, value in (
        ([1.0, 4.0], "geometric mean goodput", "2.00"),
        ([0.0, 4.0], "arithmetic mean goodput", "2.00"),
    ):
        replicates = [
            [info_with("paged", seed=seed, goodput_req_s=0.5) for seed in range(2)],
            [info_with("ffd", seed=seed, goodput_req_s=each) for seed, each in enumerate(goodputs)],
        ]
        text = read(
            render(Study.of([Run(group[0], *_tables(runs[3])) for group in replicates], replicates, [], []))
        ).text
        assert f"{tile}{value} requests/s" in text
        assert f"goodput {value} against 0.500" in text


def test_incomparable_runs_have_a_page_without_a_winner(runs):
    scenario = msgspec.structs.replace(runs[4].info.scenario, device="another")
    other = Run(msgspec.structs.replace(runs[4].info, scenario=scenario), *_tables(runs[4]))
    ablation = [Run(msgspec.structs.replace(runs[0].info, switch="baseline"), *_tables(runs[0])), runs[3]]
    page = render(Study.of([runs[3], other], [[runs[3].info], [other.info]], ablation, []))
    assert "Not comparable: the runs differ in device" in read(page).text
    for absent in ("(best)", 'class="tile', 'class="winner', "The best run", "The thickest line", "come from?"):
        assert absent not in page


def test_the_doubt_in_short_says_what_the_others_are():
    answers = [Answer(Trust.FAIL, text) for text in ("One.", "Two.", "Three.")]
    assert in_short(answers[:1]) == "One."
    assert in_short(answers[:2]) == "One. 1 more answer is also 'fail'."
    assert in_short(answers) == "One. 2 more answers are also 'fail'."
