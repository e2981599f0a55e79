"""The figures: what they show adds up, costs little, is the same every time, and tells runs of one policy apart."""

import dataclasses

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from support.experiments import experiment, trace

from warpgroup.csrc import STATUSES
from warpgroup.records.metrics import padding_waste, recompute_tax
from warpgroup.reports.comparison.perfetto import _phases_ns
from warpgroup.reports.figures.composition import composition, composition_figure
from warpgroup.reports.figures.gantt import gantt_figure, sampled_positions, spans
from warpgroup.reports.figures.latency import latency_figure, quantiles
from warpgroup.reports.figures.request_timeline import request_timeline
from warpgroup.reports.figures.time_axis import TimeAxis, envelope, time_mean
from warpgroup.reports.figures.vram import used_curve, vram_figure
from warpgroup.reports.figures.waste import waste, waste_figure
from warpgroup.reports.page.svg import INK, inline_svg
from warpgroup.sim import simulate
from warpgroup.workloads import with_arrivals

PANELS = (vram_figure, composition_figure, gantt_figure)
FIGURES = (latency_figure, *PANELS, waste_figure)
STATIC = ("count-static(n=3)", "count-static(n=60)")
POLICIES = (*STATIC, "count-continuous(n=3)", "paged", "token-ratio", "ffd", "skyline")

some_requests = st.lists(
    st.tuples(st.integers(0, 40_000_000), st.integers(1, 300), st.integers(1, 60)), min_size=1, max_size=30
)


def run_of(gaps_prompts_outputs, policy, *, blocks=24, **options):
    arrivals = np.cumsum([gap for gap, _, _ in gaps_prompts_outputs]).tolist()
    rows = [(at, prompt, output) for at, (_, prompt, output) in zip(arrivals, gaps_prompts_outputs, strict=True)]
    return simulate(experiment(rows, kv_blocks=blocks), policy, **options)


def drawn(figure_of, runs):
    return inline_svg("figure", figure_of(runs), "title", "description")


@pytest.fixture(scope="module")
def many():
    """Three policies and 10,000 requests, tight on memory."""
    rng = np.random.default_rng(3)
    sizes = zip(rng.integers(1, 400, 10_000).tolist(), rng.integers(1, 80, 10_000).tolist(), strict=True)
    rows = [(10_000_000, prompt, output) for prompt, output in sizes]
    return [run_of(rows, policy, blocks=160) for policy in ("count-static(n=24)", "paged", "skyline")]


@pytest.mark.parametrize("figure_of", FIGURES)
def test_a_figure_of_ten_thousand_requests_is_small(figure_of, many):
    assert len(drawn(figure_of, many)) < (60 if figure_of is gantt_figure else 95) * 1024


@pytest.mark.parametrize("figure_of", FIGURES)
def test_the_same_runs_give_the_same_bytes(figure_of, runs):
    assert drawn(figure_of, runs) == drawn(figure_of, runs)


@pytest.mark.parametrize("figure_of", FIGURES)
def test_whatever_a_policy_is_called_it_is_text(figure_of, runs):
    hostile = msgspec.structs.replace(runs[3].info, policy='$\\frac$ </script><img src="x" onerror=alert(1)>')
    svg = drawn(figure_of, [runs[4], dataclasses.replace(runs[3], info=hostile)])
    assert "$\\frac$ &lt;/script&gt;&lt;img" in svg
    assert "<img" not in svg


@pytest.mark.parametrize("figure_of", FIGURES)
def test_a_run_in_which_nothing_ran_has_its_figures(figure_of):
    assert drawn(figure_of, [run_of([(0, 5000, 5)], "paged")])


def twins(runs):
    real = dataclasses.replace(runs[3], info=msgspec.structs.replace(runs[3].info, kind="real"))
    return [runs[3], real]


def test_two_runs_of_one_policy_are_two_lines(runs):
    figure = latency_figure(twins(runs))
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["paged (simulated)", "paged (real)"]
    lines = [len(panel.get_lines()) for panel in figure.axes]
    assert lines == [3, 3, 2]  # TTFT and TPOT have an SLO


@pytest.mark.parametrize(("figure_of", "panels"), [(vram_figure, 1), (composition_figure, 2), (gantt_figure, 1)])
def test_two_runs_of_one_policy_have_panels_of_different_names(figure_of, panels, runs):
    titles = [panel.get_title("left") for panel in figure_of(twins(runs)).axes[::panels]]
    assert [title.partition(":")[0] for title in titles] == ["paged (simulated)", "paged (real)"]


@given(st.lists(st.floats(0.001, 1e4), min_size=1, max_size=300))
def test_a_distribution_is_drawn_through_true_quantiles(values):
    seconds, shares = quantiles(np.array([*values, np.nan]))
    assert (np.diff(shares) > 0).all()
    for second, share in zip(seconds[1:], shares[1:], strict=True):
        assert np.mean(np.array(values) <= second) >= share - 1e-9
        assert np.mean(np.array(values) < second) <= share + 1e-9


@given(st.lists(st.tuples(st.floats(0.001, 5), st.floats(0, 100)), min_size=1, max_size=50), st.floats(1, 100))
def test_an_envelope_holds_every_point_of_its_curve(moves, end_s):
    time_s = np.cumsum([gap for gap, _ in moves])
    values = np.array([value for _, value in moves])
    edges_s = np.linspace(0, end_s, 101)
    least, most = envelope(time_s, values, edges_s)
    assert (least <= most).all()
    inside = time_s < end_s
    bucket = (time_s[inside] / end_s * 100).astype(int)
    assert (most[bucket] >= values[inside]).all()
    assert (least[bucket] <= values[inside]).all()


@given(st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 10**9), st.integers(0, 50)), max_size=30))
def test_means_over_time_keep_the_area(steps):
    gaps, durations, values = np.array(steps, np.int64).reshape(-1, 3).T
    ends = np.cumsum(gaps + durations)
    edges_s = np.linspace(0, 100, 38)
    means = time_mean({"start_ns": ends - durations, "duration_ns": durations}, values, edges_s)
    assert (means * np.diff(edges_s)).sum() == pytest.approx((values * durations).sum() / 1e9)
    assert (means >= -1e-9).all()


@settings(deadline=None, max_examples=25)
@given(some_requests, st.sampled_from(POLICIES))
def test_layers_of_a_batch_are_the_running_requests(requests, policy):
    run = run_of(requests, policy)
    layers = composition(run)
    assert sum(layers.values()).tolist() == run.steps["running"].tolist()
    assert all((layer >= 0).all() for layer in layers.values())
    if policy not in STATIC:
        assert not layers["ended, still in the batch"].any()


@settings(deadline=None, max_examples=25)
@given(some_requests, st.sampled_from(POLICIES))
def test_the_bars_are_the_metrics_and_leave_nothing_out(requests, policy):
    run = run_of(requests, policy)
    positions, shares = waste(run).positions, waste(run).shares_of_time
    computed = sum(positions.values())
    assert min(positions.values()) >= 0
    if computed:
        assert positions["padding"] / computed == pytest.approx(padding_waste(run))
    if positions["needed"]:
        assert positions["computed again"] / positions["needed"] == pytest.approx(recompute_tax(run))
        assert sum(shares.values()) == pytest.approx(1)
        assert min(shares.values()) >= 0
    if not run.info.summary["failed"]:
        assert positions["unfinished"] == 0


def test_bars_are_a_hundred_percent_wide(runs):
    for panel in waste_figure(runs).axes:
        widths = np.zeros(len(runs))
        for bars in panel.containers:
            widths += [bar.get_width() for bar in bars]
        assert widths == pytest.approx(100, abs=0.2)


@settings(deadline=None, max_examples=40)
@given(some_requests, st.sampled_from(POLICIES), st.booleans())
def test_phases_follow_one_another_from_the_arrival_of_a_request_to_its_end(requests, policy, plan_ahead):
    run = run_of(requests, policy, plan_ahead=plan_ahead)
    each, rows = request_timeline(run), np.arange(len(requests))
    phases = spans(each, rows)
    evicted, from_ns, to_ns = phases.pop("evicted")
    ends = np.stack([np.stack(span[1:]) for span in phases.values()])
    assert all((of == rows).all() for of, _, _ in phases.values())
    assert ends[0, 0].tolist() == each.arrival_ns.tolist()
    assert ends[1:, 0].tolist() == ends[:-1, 1].tolist()
    assert ends[-1, 1].tolist() == each.end_ns.tolist()
    assert (ends[:, 0] <= ends[:, 1]).all()
    assert set(evicted.tolist()) == set(np.flatnonzero(run.requests["preemptions"]).tolist())
    assert (each.arrival_ns[evicted] <= from_ns).all()
    assert (to_ns <= each.end_ns[evicted]).all()


def test_requests_of_a_closed_loop_that_never_came_did_not_wait():
    rows = with_arrivals(trace([(0, 200, 5 + i % 7) for i in range(40)]), "users:9", 0)
    run = simulate(experiment(rows, kv_blocks=60), "count-static(n=9)", stop_on_oom=True)
    never = run.requests["ticket"] < 0
    each = request_timeline(run)
    assert run.info.summary["aborted"] > never.sum() > 0
    assert (each.arrival_ns[never] == each.end_ns[never]).all()
    assert (each.arrival_ns[~never] == run.requests["arrival_ns"][~never]).all()
    arrived, *_, end = _phases_ns(run)
    assert (arrived == end).tolist() == never.tolist()


@given(st.integers(0, 5000))
def test_a_sample_is_even_and_has_both_ends(count):
    chosen = sampled_positions(count)
    assert len(chosen) == min(count, 60)
    if count > 1:
        gaps = np.diff(chosen)
        assert (chosen[0], chosen[-1]) == (0, count - 1)
        assert 1 <= gaps.min() <= gaps.max() <= gaps.min() + 1


def lines_of(panel) -> set[float]:
    """At which heights there is a line."""
    return {y for line in panel.get_lines() for y in line.get_ydata().tolist()}


def test_each_request_of_a_sample_has_a_line_where_it_stands_in_the_order_of_arrival(many):
    figure = gantt_figure(many)
    end_ns = TimeAxis.of(many).end_s * 1e9
    for panel, run in zip(figure.axes[::2], many, strict=True):
        arrivals = np.sort(run.requests["arrival_ns"])
        assert lines_of(panel) == {place for place in sampled_positions(10_000).tolist() if arrivals[place] < end_ns}
        assert panel.get_title("left").startswith(f"{run.info.label}: 60 of 10,000 requests shown, wait p50 ")


def test_a_close_up_has_a_line_for_each_that_runs_or_for_some_if_hundreds_do(many):
    for panel in gantt_figure(many).axes[1::2]:
        assert 0 < len(lines_of(panel)) <= 60
    run = simulate(experiment([(0, 20, 100)] * 700, kv_blocks=9000, max_seqs=300, step_tokens=8192), "paged")
    assert run.info.summary["running_max"] == 300
    crowded = gantt_figure([run]).axes[1]
    assert len(lines_of(crowded)) == 60
    assert crowded.get_xlabel().startswith("close-up of some of the running requests")


@pytest.mark.parametrize("figure_of", PANELS)
def test_runs_that_are_drawn_apart_have_the_axes_of_all(figure_of, runs):
    whole, part = figure_of(runs).axes, figure_of(runs, [3]).axes
    each = len(whole) // len(runs)
    assert len(part) == each
    for ours, theirs in zip(part, whole[3 * each : 4 * each], strict=True):
        assert ours.get_title("left") == theirs.get_title("left")
        assert ours.get_xlim() == theirs.get_xlim()
        assert ours.get_ylim() == pytest.approx(theirs.get_ylim())
        assert [line.get_color() for line in ours.get_lines()] == [line.get_color() for line in theirs.get_lines()]


def test_the_winners_line_is_the_thickest_and_only_with_a_winner_is_there_one(runs):
    def widths(*winner):
        return [
            [line.get_linewidth() for line in panel.get_lines()[:5]] for panel in latency_figure(runs, *winner).axes
        ]

    assert all(len(set(each)) == 1 for each in widths())
    for each in widths(3):
        assert [width == max(each) for width in each] == [False, False, False, True, False]


def test_memory_in_use_wears_no_policys_colour_in_the_legend(runs):
    legend = vram_figure(runs).legends[0]
    named = dict(zip((text.get_text() for text in legend.get_texts()), legend.legend_handles, strict=True))
    assert to_hex(named["in use"].get_facecolor()) == INK


def test_a_request_that_was_put_back_when_memory_ran_out_is_queued_until_its_step():
    run = run_of([(0, 200, 5)] * 6, "count-static(n=6)", blocks=30)
    assert run.info.summary["ooms"]
    assert not run.info.summary["preemptions"]
    each = request_timeline(run)
    prefills = run.steps["prefill_tokens"] > 0
    assert set(each.admitted_ns.tolist()) == set(run.steps["start_ns"][prefills].tolist())


def test_what_a_run_has_nothing_of_is_not_in_the_legend(runs):
    def legend(figure):
        return {text.get_text() for text in figure.legends[0].get_texts()}

    assert legend(vram_figure(runs[3:4])) == {"in use", "held, not filled", "budget", "evicted"}
    assert legend(vram_figure(runs[1:2])) >= {"out of memory"}
    assert legend(vram_figure(runs[4:])) >= {"reserved"}
    assert "ended, still in the batch" in legend(composition_figure(runs[:1]))
    assert "ended, still in the batch" not in legend(composition_figure(runs[3:]))
    assert "evicted" not in legend(gantt_figure(runs[4:]))


def test_a_budget_that_changes_is_a_line_with_steps(runs):
    budget = runs[3].info.scenario.memory.budget_bytes
    rows = [(2_000_000, 20 + i % 90, 1 + i % 37) for i in range(80)]
    run = run_of(rows, "paged", blocks=40, pressure=[(50_000_000, budget - 100_000)], pressure_announced=True)
    (line,) = [line for line in vram_figure([run]).axes[0].get_lines() if line.get_drawstyle() == "steps-post"]
    assert np.unique(line.get_ydata() * 2**30).tolist() == pytest.approx([budget - 100_000, budget])


def test_memory_is_held_between_the_steps_of_a_batch(runs):
    run = runs[3]
    apart = {**run.steps, "duration_ns": run.steps["duration_ns"] // 2}
    _, used = used_curve(dataclasses.replace(run, steps=apart))
    running_on = used.reshape(-1, 4)[:-1, 2] > run.info.scenario.memory.fixed_bytes
    assert running_on.mean() > 0.9


def changed(run, **facts):
    return dataclasses.replace(run, info=msgspec.structs.replace(run.info, **facts))


def shifted(run, by_ns):
    """The same run on a clock that began earlier."""
    requests, steps, events = dict(run.requests), dict(run.steps), dict(run.events)
    for table, name in ((steps, "start_ns"), (events, "t_ns"), (requests, "arrival_ns")):
        table[name] = table[name] + by_ns
    for name in ("admitted_ns", "first_token_ns", "finish_ns"):
        requests[name] = np.where(requests[name] < 0, -1, requests[name] + by_ns)
    return dataclasses.replace(run, requests=requests, steps=steps, events=events)


@settings(deadline=None, max_examples=25)
@given(some_requests, st.sampled_from(POLICIES), st.integers(0, 10**11))
def test_the_time_axis_reaches_the_end_of_a_run(requests, policy, by_ns):
    run = shifted(run_of(requests, policy), by_ns)
    end_ns = max((run.steps["start_ns"] + run.steps["duration_ns"]).max(initial=0), run.requests["finish_ns"].max())
    assert TimeAxis.of([run]).end_s * 1e9 >= end_ns - 1


def test_what_never_finished_or_was_interrupted_squeezes_no_axis(runs):
    whole = TimeAxis.of(runs[3:4]).end_s
    nothing = run_of([(0, 5000, 5)], "paged")
    early = {name: values[:50] for name, values in runs[3].steps.items()}
    over = (early["start_ns"] + early["duration_ns"]).max()
    finish = np.where(runs[3].requests["finish_ns"] <= over, runs[3].requests["finish_ns"], -1)
    assert 0 < (finish >= 0).sum() < 40
    requests = {**runs[3].requests, "finish_ns": finish, "status": np.where(finish < 0, STATUSES.index("aborted"), 0)}
    cut = dataclasses.replace(changed(runs[3], complete=False), steps=early, requests=requests)
    assert TimeAxis.of([nothing, cut, runs[3]]).end_s == whole
    assert TimeAxis.of([cut]).end_s * 1e9 >= over


def test_a_run_that_goes_on_is_said_to_with_its_digits(runs):
    axis = TimeAxis(0.001, "s", 1)
    assert axis.beyond(runs[3]) == f"; continues to {TimeAxis.of(runs[3:4]).end_s:#.3g} s"
    assert TimeAxis.of(runs[3:4]).beyond(runs[3]) == ""


@pytest.mark.parametrize("figure_of", FIGURES)
def test_text_that_looks_like_a_drawing_is_left_as_it_is(figure_of, runs):
    name = ' id="a" x="1.23456" url(#b #010203'
    assert name in drawn(figure_of, [changed(runs[3], policy=f"paged{name}"), runs[4]])


@pytest.mark.parametrize(
    ("figure_of", "fact"), [(vram_figure, "budget"), (composition_figure, "tokens per"), (gantt_figure, "evicted")]
)
def test_a_long_name_leaves_room_for_what_is_said_of_it(figure_of, fact, runs):
    figure = figure_of(
        [changed(run, policy="paged" + 30 * " key=value" + end) for run, end in zip(runs, "ab", strict=False)]
    )
    for panel, end in zip([panel for panel in figure.axes if panel.get_title("left")], "ab", strict=True):
        name, facts = panel.get_title("left").splitlines()
        assert name.startswith("paged key=value")
        assert name.endswith(f"{end}:")
        assert len(name) < 110
        assert fact in facts


def test_a_long_name_fits_into_a_legend(runs):
    named = [changed(run, policy="x" * 300) for run in runs[:2]]
    assert all(len(text.get_text()) <= 100 for text in latency_figure(named).legends[0].get_texts())


def test_the_last_bit_of_a_layout_changes_no_byte():
    """The layout's solver has another one when memory lies elsewhere, and matplotlib makes ids of coordinates."""

    def svg(left: float) -> str:
        figure = Figure()
        figure.add_axes((left, 0.1, 0.8, 0.8)).plot([1, 2])
        return inline_svg("name", figure, "title", "description")

    assert svg(0.1) == svg(np.nextafter(0.1, 1))
    assert 'clip-path="url(#name-' in svg(0.1)
