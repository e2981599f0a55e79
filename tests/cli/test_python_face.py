"""`import warpgroup as wg`, as a notebook uses it."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import warpgroup as wg
from warpgroup.errors import InvalidRun, InvalidScenario, InvalidTrace, OutputRefused, UnknownName, WarpGroupError
from warpgroup.sim import simulate

SECOND = 10**9
LOG = pd.DataFrame({"received": [1.5, 2.0], "tokens_in": [9, 8], "tokens_out": [7, 6]})
COLUMNS = {"arrival": "received", "prompt": "tokens_in", "output": "tokens_out"}


@pytest.fixture(scope="module")
def trace() -> wg.Trace:
    rows = [(i * SECOND // 20, 300 + i * 37 % 700, 20 + i * 53 % 200) for i in range(200)]
    return wg.Trace.of_rows(rows, max_new_tokens=1000)


@pytest.fixture(scope="module")
def run(trace) -> wg.RunResult:
    return wg.simulate(trace, "paged", limits=wg.Limits(kv_budget_tokens=8000))


@pytest.fixture(scope="module")
def comparison(trace) -> wg.Comparison:
    return wg.compare(trace, "count-static,paged,skyline", seeds=2, limits=wg.Limits(kv_budget_tokens=8000))


@pytest.fixture
def drawn(monkeypatch):
    """Draws into memory, and closes what was drawn."""
    plt = pytest.importorskip("matplotlib.pyplot")
    plt.switch_backend("agg")
    yield plt
    plt.close("all")


def test_importing_loads_nothing_and_takes_under_a_tenth_of_a_second():
    script = (
        "import sys, time; begun = time.process_time(); import warpgroup; spent = time.process_time() - begun;"
        "heavy = ('torch', 'numpy', 'pandas', 'pyarrow', 'simpy', 'seaborn', 'typer', 'rich');"
        "print(spent, [name for name in heavy if name in sys.modules])"
    )
    done = [
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split(" ", 1)
        for _ in range(3)  # the quickest of three: other processes fill the caches
    ]
    assert {loaded.strip() for _, loaded in done} == {"[]"}
    assert min(float(spent) for spent, _ in done) < 0.1


def test_a_simulation_loads_neither_torch_nor_what_draws_nor_the_command_line():
    script = (
        "import sys, warpgroup as wg; wg.simulate(wg.Trace.of_rows([(0, 9, 9)], max_new_tokens=9), 'paged');"
        "print([name for name in ('torch', 'seaborn', 'matplotlib', 'typer', 'rich') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_public_name_is_there_and_listed():
    assert set(wg.__all__) <= set(dir(wg))
    assert all(getattr(wg, name) is not None for name in wg.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'simulat'"):
        wg.simulat  # noqa: B018


def test_the_version_is_that_of_the_installed_package():
    from importlib.metadata import version

    assert wg.__version__ == version("warpgroup")


def test_a_simulation_is_that_of_the_simulator(trace, run):
    same = simulate(trace, "paged", limits=wg.Limits(kv_budget_tokens=8000))
    assert run.info.plan_hash == same.info.plan_hash
    assert run.summary == same.info.summary


def test_model_device_slo_seed_and_arrivals_reach_the_run(trace):
    made = wg.simulate(
        trace, "ffd(margin=0.1)", model="qwen2.5-7b", device="h200", slo="ttft=2s", seed=3, arrivals="poisson:4"
    )
    scenario = made.info.scenario
    assert (made.policy, made.info.seed) == ("ffd(margin=0.1)", 3)
    assert (scenario.model, scenario.device, scenario.trace.arrivals) == ("qwen2.5-7b", "h200", "poisson:4")
    assert (scenario.slo_ttft_s, scenario.slo_tpot_s) == (2, 0.1)


def test_a_log_in_a_dataframe_is_simulated():
    made = wg.simulate(wg.Trace.from_dataframe(LOG, **COLUMNS, unit="s"), "paged")
    assert list(made.requests_df()["arrival_ns"]) == [0, SECOND // 2]
    assert made.info.scenario.trace.transforms == ("max_new_tokens 4096 by default",)


def test_tables_have_the_columns_of_the_record(run):
    requests, steps, events = run.requests_df(), run.steps_df(), run.events_df()
    assert list(requests.columns) == list(run.requests)
    assert (len(requests), len(steps), len(events)) == (200, len(run.steps["step"]), len(run.events["t_ns"]))
    assert set(requests["status"]) == {"finished"}
    assert requests["first_token_ns"].dtype == np.int64
    assert "memory" in set(steps["blocked_by"])
    assert "preempt" in set(events["event"])


def test_plots_return_axes_with_units(run, drawn):
    vram, latency, timeline = run.plot.vram(), run.plot.latency(), run.plot.timeline()
    assert (vram.get_xlabel(), vram.get_ylabel()) == ("time (s)", "VRAM (GiB)")
    assert {text.get_text() for text in latency.get_legend().get_texts()} == {"TTFT", "TPOT", "E2E"}
    assert [text.get_text() for text in timeline.get_legend().get_texts()] == ["waiting", "prefill", "decode"]


def test_a_plot_draws_on_the_axes_that_it_is_given(run, drawn):
    _, axes = drawn.subplots(1, 3)
    plots = (run.plot.vram, run.plot.latency, run.plot.timeline)
    assert all(plot(ax=ax) is ax for plot, ax in zip(plots, axes, strict=True))


def test_a_run_without_a_finished_request_is_drawn_too(trace, drawn):
    nothing = wg.simulate(trace, "paged", limits=wg.Limits(kv_budget_tokens=160))
    assert nothing.summary["finished"] == 0
    for plot in (nothing.plot.vram, nothing.plot.latency, nothing.plot.timeline):
        plot()
    assert "TTFT p50 / p90</th><td>- / -" in nothing._repr_html_()


def test_representations_are_short_and_say_what_matters(run, comparison):
    assert repr(run).startswith("<simulated run of paged: 200 of 200 requests finished, ")
    assert repr(comparison).startswith("<comparison of 4 policies: ")
    assert max(len(repr(run)), len(repr(comparison))) < 200
    assert "<caption>paged</caption>" in run._repr_html_()
    assert comparison.verdict.sentence.split(":")[0] in comparison._repr_html_()


def test_a_comparison_has_a_run_for_each_policy_and_a_row_for_each_seed(comparison):
    names = [run.policy for run in comparison.runs]
    assert names[0].startswith("count-static(n=")
    assert names[1:] == ["count-static(n=32)", "paged", "skyline"]
    table = comparison.table()
    assert list(table.index) == [(name, seed) for name in names for seed in (0, 1)]
    assert (table["finished"] == 200).all()
    assert table.loc[("paged", 0), "ttft_s_p90"] == comparison["paged"].summary["ttft_s"]["p90"]
    assert comparison.winner is None or comparison.winner in comparison.runs
    with pytest.raises(KeyError, match="no run of 'ffd': there are count-static"):
        comparison["ffd"]


def test_other_seeds_reshuffle_the_requests_over_the_times_of_the_trace(comparison):
    first, other = (info.scenario.trace for info in comparison.by_seed[2])
    assert (first.transforms, len(other.transforms)) == ((), 1)


def test_a_sweep_finds_the_capacity_of_each_policy(trace):
    found = wg.sweep(trace, [1, 2, 4, 8, 16], "paged,skyline", slo="ttft=1s,tpot=60ms", seeds=2)
    table = found.table()
    assert list(table.index) == ["paged", "skyline"]
    assert table["capacity"].isin([1, 2, 4, 8, 16]).all()
    assert "requests/s" in repr(found)
    assert "<table" in found._repr_html_()


def test_a_run_is_saved_and_read_again(run, tmp_path):
    run.save(tmp_path / "run")
    again = wg.read_run(tmp_path / "run")
    assert isinstance(again, wg.RunResult)
    assert again.info == run.info
    pd.testing.assert_frame_equal(again.requests_df(), run.requests_df())
    with pytest.raises(OutputRefused, match="is not empty"):
        run.save(tmp_path / "run")


def test_a_report_shows_runs_comparisons_sweeps_and_folders(trace, run, comparison, tmp_path):
    run.save(tmp_path / "run")
    sweep = wg.sweep(trace, "1:4:1", "paged", seeds=1)
    for number, results in enumerate((run, comparison, sweep, [comparison, sweep], tmp_path / "run")):
        path = wg.report(results, tmp_path / f"{number}.html")
        assert path.read_text().startswith("<!DOCTYPE html>")
    assert wg.report([run, comparison["skyline"]], str(tmp_path / "short.md")).read_text().startswith("### ")


def test_limits_take_whole_numbers_of_any_type_and_sizes_as_text():
    limits = wg.Limits(vram_bytes="20GiB", graph_pool_bytes=1e9, max_seqs=np.int64(8), max_wait_s=np.float64(2))
    assert limits == wg.Limits(vram_bytes=20 * 2**30, graph_pool_bytes=10**9, max_seqs=8, max_wait_s=2)
    kinds = (limits.vram_bytes, limits.graph_pool_bytes, limits.max_seqs, limits.max_wait_s)
    assert [type(value) for value in kinds] == [int, int, int, float]


def test_runs_are_compared_and_hashed_by_identity(trace, run):
    assert run == run
    assert run != wg.simulate(trace, "paged")
    assert {run: 1}[run] == 1


@pytest.mark.parametrize("name", ["report.HTM", "report.MARKDOWN", "report"])
def test_a_report_is_named_as_for_the_command(run, tmp_path, name):
    begin = "### " if "MARK" in name else "<!DOCTYPE html>"
    assert wg.report(run, tmp_path / name).read_text().startswith(begin)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda trace: wg.simulate(trace, "pagd"), UnknownName, "did you mean 'paged'?"),
        (lambda trace: wg.simulate(trace, "ffd(n=1)"), InvalidScenario, "has no parameter 'n'"),
        (lambda trace: wg.compare(trace, ["paged", "pagd"]), UnknownName, "did you mean 'paged'?"),
        (
            lambda trace: wg.compare(trace, "paged", seeds=0),
            InvalidScenario,
            "seeds is 0, expected a whole number of at least 1",
        ),
        (lambda trace: wg.simulate(trace, "paged", model="lama-3.1-8b"), UnknownName, "did you mean 'llama-3.1-8b'?"),
        (lambda trace: wg.simulate(trace, "paged", device="rtx4090"), UnknownName, "did you mean 'rtx-4090'?"),
        (lambda trace: wg.simulate(trace, "paged", slo="soon"), InvalidScenario, "is not of the form ttft=10s"),
        (lambda t: wg.simulate(t, "paged", arrivals="users:2", rate_scale=2), InvalidScenario, "rate_scale does not"),
        (lambda trace: wg.simulate(trace, "paged", rate_scale=0), InvalidScenario, "expected a positive number"),
        (lambda trace: wg.simulate(pd.DataFrame({"t": [1.5]}), "paged"), InvalidTrace, "wg.Trace.from_dataframe"),
        (
            lambda trace: wg.Trace.of_rows([(0.5, 9, 9)], max_new_tokens=9),
            InvalidTrace,
            "not a whole number of nanosec",
        ),
        (lambda trace: wg.Trace.of_rows(LOG, max_new_tokens=9), InvalidTrace, "give it to Trace.from_dataframe"),
        (lambda trace: wg.Trace.from_dataframe(LOG, **COLUMNS), InvalidTrace, "give their unit"),
        (lambda trace: wg.simulate("requests.csv", "paged"), InvalidTrace, "expected a Trace, not a str"),
        (lambda trace: wg.sweep(trace, [4, 2]), InvalidScenario, "in ascending order"),
        (lambda trace: wg.sweep(trace, "1-4"), InvalidScenario, "is not of the form LOW:HIGH:STEP"),
        (
            lambda trace: wg.sweep(trace, "1:4:1", attainment=90),
            InvalidScenario,
            "attainment is 90, expected a positive number, at most 1",
        ),
        (lambda trace: wg.read_run("nowhere"), InvalidRun, "there is no file or folder nowhere"),
        (lambda trace: wg.report([], "x.html"), InvalidScenario, "there is nothing to report"),
        (lambda trace: wg.report([trace], "x.html"), InvalidScenario, "cannot report on a Trace"),
        (lambda trace: wg.report("nowhere", "x.html"), InvalidRun, "nowhere"),
        (
            lambda trace: wg.report("nowhere", "x.csv"),
            OutputRefused,
            "report x.csv: expected a name that ends in .html or .htm or .md or .markdown, not",
        ),
        (lambda trace: wg.read_trace("missing.csv"), InvalidTrace, "missing.csv does not exist"),
        (
            lambda trace: wg.read_trace(LOG),
            InvalidTrace,
            "the path of a file, not a DataFrame: wg.read_trace(path) reads",
        ),
        (lambda trace: wg.read_trace("x.csv", columns="a"), InvalidScenario, "columns is a str, expected such as"),
        (lambda trace: wg.read_trace("x.csv", max_new_tokens=0.5), InvalidTrace, "max_new_tokens is 0.5, expected one"),
        (lambda trace: wg.simulate(trace, None), InvalidScenario, "policy is None, expected a name of `warpgroup pol"),
        (lambda trace: wg.simulate(trace, "paged", seed=-1), InvalidScenario, "seed is -1, expected a whole number of"),
        (lambda trace: wg.simulate(trace, "paged", seed=1.5), InvalidScenario, "seed is 1.5, expected a whole number"),
        (
            lambda trace: wg.simulate(trace, "paged", rate_scale="2"),
            InvalidScenario,
            "rate_scale is '2', expected a pos",
        ),
        (lambda trace: wg.simulate(trace, "paged", model=8), InvalidScenario, "model is 8, expected a name of"),
        (lambda trace: wg.simulate(trace, "paged", device=None), InvalidScenario, "device is None, expected a name of"),
        (lambda trace: wg.simulate(trace, "paged", arrivals=2), InvalidScenario, "arrivals is 2, expected a text such"),
        (
            lambda trace: wg.simulate(trace, "paged", slo=(1, 2)),
            InvalidScenario,
            "slo is a tuple, expected a text such",
        ),
        (
            lambda trace: wg.simulate(trace, "paged", slo="ttft=0s"),
            InvalidScenario,
            "ttft_s is 0.0, expected a positive",
        ),
        (
            lambda trace: wg.simulate(trace, "paged", limits={}),
            InvalidScenario,
            "limits is a dict, expected wg.Limits(",
        ),
        (lambda trace: wg.compare(trace, None), InvalidScenario, "policies is None, expected a text such as 'paged,sk"),
        (lambda trace: wg.compare(trace, ["paged", 3]), InvalidScenario, "policies[1] is 3, expected a name of"),
        (lambda trace: wg.compare(trace, "paged", seeds=1.5), InvalidScenario, "seeds is 1.5, expected a whole number"),
        (lambda trace: wg.sweep(trace, 3), InvalidScenario, "rates is 3, expected a text such as '1:8:1', or a list"),
        (lambda trace: wg.sweep(trace, [1, "2"]), InvalidScenario, "rates[1] is '2', expected a positive number"),
        (
            lambda trace: wg.sweep(trace, "1:4:1", attainment="0.9"),
            InvalidScenario,
            "attainment is '0.9', expected a pos",
        ),
        (lambda trace: wg.report(3, "x.html"), InvalidScenario, "cannot report on a int"),
        (lambda trace: wg.report("nowhere", 3), InvalidScenario, "path is 3, expected the file to write"),
        (lambda trace: wg.read_run(3), InvalidRun, "expected the folder of a run, not a int"),
        (
            lambda trace: wg.Limits(vram_bytes=20.5),
            InvalidScenario,
            "vram_bytes is 20.5, expected a whole number of at",
        ),
        (
            lambda trace: wg.Limits(vram_bytes="20 cards"),
            InvalidScenario,
            "size '20 cards': expected a number with GiB",
        ),
        (lambda trace: wg.Limits(vram_bytes=-1), InvalidScenario, "vram_bytes is -1, expected a whole number of at"),
        (lambda trace: wg.Limits(block_tokens=0), InvalidScenario, "block_tokens is 0, expected a multiple of 16"),
        (lambda trace: wg.Limits(block_tokens=7), InvalidScenario, "block_tokens is 7, expected a multiple of 16"),
        (lambda trace: wg.Limits(max_seqs=2**40), InvalidScenario, "expected a whole number from 0 to 2147483647"),
        (lambda trace: wg.Limits(max_wait_s=-1), InvalidScenario, "max_wait_s is -1, expected a number of at least 0"),
        (lambda trace: wg.Limits(max_wait_s=float("nan")), InvalidScenario, "max_wait_s is nan, expected a number of"),
        (lambda trace: wg.Slo(-1, 0), InvalidScenario, "ttft_s is -1, expected a positive number"),
        (lambda trace: wg.Slo(1, float("nan")), InvalidScenario, "tpot_s is nan, expected a positive number"),
        (lambda trace: wg.Slo("1s"), InvalidScenario, "ttft_s is '1s', expected a positive number"),
    ],
)
def test_a_mistake_is_an_error_of_one_line(trace, tmp_path, monkeypatch, call, error, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error) as raised:
        call(trace)
    assert isinstance(raised.value, WarpGroupError)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)
