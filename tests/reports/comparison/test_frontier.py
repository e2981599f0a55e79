"""What a sweep comes to, in words, a table and a figure."""

import dataclasses
import re
import time
from html import unescape

import msgspec
import pytest
from support.sweeps import InProcess, point, setting, swept

from warpgroup.errors import InvalidRun
from warpgroup.records.sweep import FILE, PolicySweep, Sweep, read_sweep, write_sweep
from warpgroup.reports.comparison.frontier import capacities, capacity_sentence, frontier, notes
from warpgroup.reports.comparison.html import render
from warpgroup.reports.comparison.markdown import render_markdown
from warpgroup.reports.comparison.sweep_validity import sweep_validity
from warpgroup.reports.comparison.validity import Trust
from warpgroup.reports.figures.frontier import frontier_figure
from warpgroup.reports.judging.study import Study
from warpgroup.reports.page.page import render_page
from warpgroup.reports.page.svg import COLOURS
from warpgroup.sim.sweep.capacity import capacity_of


def policy(name: str, *attainments: float, upper_bound: bool = False, **figures) -> PolicySweep:
    """Measured at 1, 2, ... requests per second."""
    points = [point(float(rate), share, tokens_s=100.0 * rate, **figures) for rate, share in enumerate(attainments, 1)]
    capacity, failing = capacity_of(points, 0.9)
    return PolicySweep(name, upper_bound, capacity, failing, points, [])


@pytest.fixture(scope="module")
def real(tmp_path_factory) -> Sweep:
    made = setting()
    return swept(tmp_path_factory.mktemp("sweep"), made, InProcess(made))


@pytest.fixture
def sweep_of(real):
    def build(*policies: PolicySweep) -> Sweep:
        return msgspec.structs.replace(real, policies=list(policies), rates=[1.0, 2.0, 3.0, 4.0])

    return build


COUNT = policy("count-continuous(n=8)", 1, 1, 0.5)
BETTER = policy("skyline", 1, 1, 0.95, 0.3)
OPEN = policy("paged", 1, 1, 1, 1)
NOTHING = policy("ffd", 0.4, 0.3)
UNFIT = policy("count-static(n=32)", 1, 1, 1, 1, ooms=7)
BOUND = policy("oracle", 1, 1, 1, 0.1, upper_bound=True)


@pytest.mark.parametrize(
    ("policies", "expected"),
    [
        (
            (COUNT, BETTER),
            "skyline keeps the SLO at 3 requests/s. "
            "The best count, count-continuous(n=8), keeps it at 2: 1.50x [1.00, 2.00].",
        ),
        (
            (COUNT, OPEN),
            "paged keeps the SLO at 4 requests/s or more. "
            "The best count, count-continuous(n=8), keeps it at 2: >= 1.33x.",
        ),
        ((COUNT,), "count-continuous(n=8) keeps the SLO at 2 requests/s."),
        ((policy("ffd", 1, 1, 0.5), COUNT), "ffd and count-continuous(n=8) keep the SLO at 2 requests/s."),
        ((NOTHING,), "No policy keeps the SLO for 90 % of the requests, not even at 1 requests/s."),
        ((BOUND, COUNT), "count-continuous(n=8) keeps the SLO at 2 requests/s."),
        (
            (BOUND, NOTHING),
            "No policy that an engine could run keeps the SLO for 90 % of the requests, not even at 1 requests/s. "
            "oracle knows the true output lengths and keeps the SLO at 3 requests/s.",
        ),
        ((BOUND,), "oracle (upper bound) keeps the SLO at 3 requests/s."),
        (
            (BETTER, policy("count-static(n=2)", 0.2)),
            "skyline keeps the SLO at 3 requests/s. "
            "The best count, count-static(n=2), keeps it at none of these rates.",
        ),
        (
            (UNFIT, COUNT, BETTER),
            "skyline keeps the SLO at 3 requests/s. "
            "The best count, count-continuous(n=8), keeps it at 2: 1.50x [1.00, 2.00].",
        ),
        (
            (UNFIT, BETTER),
            "skyline keeps the SLO at 3 requests/s. "
            "The best count, count-static(n=32), which runs out of memory, keeps it "
            "at 4 with 7 out-of-memory steps: <= 1.00x.",
        ),
        ((UNFIT, NOTHING), "count-static(n=32) keeps the SLO at 4 requests/s or more with 7 out-of-memory steps."),
    ],
)
def test_the_sentence_says_who_can_take_most_and_how_much_more_than_the_best_count(sweep_of, policies, expected):
    assert capacity_sentence(sweep_of(*policies)) == expected


def test_the_table_has_a_row_a_policy_with_its_ratio_to_the_best_count(sweep_of):
    table = capacities(sweep_of(COUNT, policy("count-static(n=2)", 1, 0.1), BETTER, OPEN, NOTHING, BOUND))
    heads = [head for head, _ in table.heads]
    rows = {row[0].text: dict(zip(heads, (cell.text for cell in row), strict=True)) for row in table.rows}
    assert {name: row["of best count"] for name, row in rows.items()} == {
        "count-continuous(n=8)": "-",
        "count-static(n=2)": "0.50x [0.33, 1.00]",
        "skyline": "1.50x [1.00, 2.00]",
        "paged": ">= 1.33x",
        "ffd": "-",
        "oracle (upper bound)": "1.50x [1.00, 2.00]",
    }
    assert {name: row["capacity"] for name, row in rows.items()} == {
        "count-continuous(n=8)": "2",
        "count-static(n=2)": "1",
        "skyline": "3",
        "paged": ">= 4",
        "ffd": "< 1",
        "oracle (upper bound)": "3",
    }
    assert rows["skyline"]["fails at"] == "4"
    assert rows["skyline"]["kept"] == "95.0%"
    assert rows["skyline"]["tokens/s"] == "300"
    assert rows["skyline"]["trials"] == "8"


def test_a_capacity_that_nothing_bounds_is_no_ratio(sweep_of):
    open_count = policy("count-continuous(n=64)", 1, 1, 1, 1)
    rows = capacities(sweep_of(open_count, OPEN, BETTER)).rows
    assert [row[4].text for row in rows] == ["-", "-", "<= 1.00x"]


def test_the_figure_has_a_line_a_policy_a_ring_at_each_capacity_and_what_was_asked(sweep_of):
    sweep = sweep_of(COUNT, BETTER, NOTHING)
    latency, attainment = frontier_figure(sweep).axes
    for panel in (latency, attainment):
        lines = [line for line in panel.get_lines() if len(line.get_xdata()) > 1 and line.get_linestyle() != ":"]
        rings = [line for line in panel.get_lines() if len(line.get_xdata()) == 1]
        assert len([line for line in lines if line.get_marker() == "o"]) == 3
        assert len(rings) == 2
    assert [ring.get_xdata()[0] for ring in rings] == [2.0, 3.0]
    assert latency.get_yscale() == "log"
    assert {text.get_text() for panel in (latency, attainment) for text in panel.texts} == {"SLO 0.2 s", "90 %"}
    assert latency.get_ylabel() == "TTFT, p90 (s)"
    strict = msgspec.structs.replace(sweep, attainment=0.99)
    assert frontier_figure(strict).axes[0].get_ylabel() == "TTFT, p99 (s)"


def test_the_line_of_who_can_take_most_is_the_thickest_unless_two_can(sweep_of):
    def widths(*policies):
        shown = frontier([sweep_of(*policies)])[0].svg
        return sorted({float(width) for width in re.findall(r"stroke-width: (1\.4|2\.8)", shown)})

    assert widths(COUNT, BETTER, BOUND) == [1.4, 2.8]
    assert widths(COUNT, policy("ffd", 1, 1, 0.5)) == [1.4]


def test_policies_of_which_nothing_finished_can_be_drawn(sweep_of):
    nothing = policy("paged", 0.0, 0.0, ttft_s=None)
    assert frontier([sweep_of(nothing)])[0].svg.startswith("<svg")


def test_a_seventh_policy_has_other_dashes_than_the_first(sweep_of):
    figure = frontier_figure(sweep_of(*(policy(f"paged(n={n})", 1, 0.5) for n in range(8))))
    lines = [line for line in figure.axes[0].get_lines() if len(line.get_xdata()) > 1 and line.get_marker() == "o"]
    assert len({(line.get_color(), str(line._dash_pattern)) for line in lines}) == 8


def page(sweeps: list[Sweep]) -> str:
    return render_page("frontier.html.jinja", frontier=frontier(sweeps))


def test_a_policy_looks_as_it_does_in_the_other_figures(sweep_of):
    def colours(*known):
        figure = frontier_figure(sweep_of(COUNT, BETTER), known)
        return [text.get_color() for text in figure.legends[0].get_lines()]

    assert colours() == [COLOURS[0], COLOURS[1]]
    assert colours("paged", "ffd", BETTER.label) == [COLOURS[3], COLOURS[2]]
    assert colours("paged", "paged", BETTER.label) == [COLOURS[3], COLOURS[2]]  # as measured, and as simulated


def test_a_policy_of_a_sweep_looks_as_its_real_run_does(real, runs):
    other = runs[4].info  # ffd, so that kinds are in the labels of the runs
    measured = dataclasses.replace(runs[3], info=msgspec.structs.replace(runs[3].info, kind="real"))
    study = Study.of([runs[4], measured])
    swept = msgspec.structs.replace(real, policies=[policy(measured.info.policy, 1), policy(other.policy, 1)])
    drawn = frontier([swept], [other.policy, measured.info.policy])
    assert drawn[0].svg in render(dataclasses.replace(study, sweeps=[swept]))


def test_what_ran_out_of_memory_at_its_capacity_is_said_and_does_not_win(sweep_of):
    told = "count-static(n=32) keeps the SLO at 4 requests/s with 7 out-of-memory steps"
    assert notes(sweep_of(UNFIT, BETTER)) == [f"{told}, so it cannot win."]
    assert notes(sweep_of(UNFIT)) == [f"{told}."]
    answers = {answer.text: answer.outcome for answer in sweep_validity(sweep_of(UNFIT, BETTER))}
    assert answers["Ran out of memory at its capacity: count-static(n=32)."] is Trust.INCONCLUSIVE


def outcomes(sweep: Sweep) -> list[str]:
    """Of the step times, the seeds, the requests, the edges of the grid and memory."""
    return [answer.outcome.value for answer in sweep_validity(sweep)]


def test_a_sweep_says_whether_it_can_be_trusted(sweep_of):
    inside = sweep_of(COUNT, BETTER)
    scenario = msgspec.structs.replace(
        inside.scenario,
        step_time="calibrated, errors 1.2% in the median, 4.0% at p95",
        trace=msgspec.structs.replace(inside.scenario.trace, requests=700),
    )
    sure = msgspec.structs.replace(inside, scenario=scenario)
    assert outcomes(sure) == ["pass"] * 5
    assert outcomes(inside) == ["inconclusive", "pass", "inconclusive", "pass", "pass"]
    assert outcomes(msgspec.structs.replace(sure, seeds=[3])) == ["pass", "inconclusive", "pass", "pass", "pass"]
    for edge in (OPEN, NOTHING):
        assert outcomes(msgspec.structs.replace(sure, policies=[COUNT, edge]))[3] == "inconclusive"


def test_a_page_of_sweeps_alone_has_a_heading_and_its_commands_can_be_copied(real):
    page = render(Study.of([], [], [], [real, real]))
    assert page.count(">Can it be trusted?<") == 2
    assert page.count("<h1>") == 1
    for number in (1, 2):
        assert f'<pre id="sweep{number}"' in page
        assert f'data-copies="sweep{number}"' in page
        assert f'download="points-{number}.csv.gz"' in page


def test_without_sweeps_the_section_is_not_there():
    assert frontier([]) is None
    assert page([]).strip() == ""


def test_what_users_wrote_is_text(real):
    evil = '</script><img src=x onerror="alert(1)">'
    trace = msgspec.structs.replace(real.scenario.trace, name=evil)
    scenario = msgspec.structs.replace(real.scenario, name=evil, trace=trace)
    shown = page([msgspec.structs.replace(real, scenario=scenario, command=evil, policies=[policy(evil, 1, 0.5)])])
    assert "<img" not in shown
    assert "&lt;img src=x" in shown


def test_the_same_sweep_is_the_same_page_and_two_sweeps_share_no_id(real):
    assert page([real, real]) == page([real, real])
    ids = re.findall(r'\bid="([^"]+)"', page([real, real]))
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda sweep: sweep.update(rates=[]), "contradicts itself"),
        (lambda sweep: sweep.update(seeds=[0, 1, 2]), "contradicts itself"),
        (lambda sweep: sweep["policies"][0].update(points=[]), "contradicts itself"),
        (lambda sweep: sweep["policies"][0].update(capacity=7.5), "contradicts itself"),
        (lambda sweep: sweep["policies"][0].update(policy=None), "is not the record of a sweep"),
    ],
)
def test_a_damaged_sweep_is_refused_in_one_line(real, tmp_path, change, message):
    write_sweep(tmp_path, real)
    assert read_sweep(tmp_path) == real
    raw = msgspec.json.decode((tmp_path / FILE).read_bytes())
    change(raw)
    (tmp_path / FILE).write_bytes(msgspec.json.encode(raw))
    with pytest.raises(InvalidRun, match=message) as caught:
        read_sweep(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_fine_grid_is_a_small_figure_and_soon_drawn(sweep_of):
    values = [1 - rate / 1000 for rate in range(1000)]
    sweep = sweep_of(*(policy(f"paged(margin={n})", *values) for n in range(6)))
    frontier([sweep])  # imports
    began = time.process_time()
    drawn = frontier([sweep])
    assert time.process_time() - began < 1.5
    assert len(drawn[0].svg) < 100 * 1024


def test_the_markdown_of_a_sweep_has_its_sentence_and_table(real):
    text = unescape(render_markdown(Study.of([], [], [], [real])))
    assert capacity_sentence(real) in text
    assert f"Simulated: {real.scenario.step_time}; seeds 0, 1." in text
    for answer in sweep_validity(real):
        assert answer.text in text
    for row in capacities(real).rows:
        assert row[0].text in text
    assert text.count("\n|") == 2 + len(real.policies)
