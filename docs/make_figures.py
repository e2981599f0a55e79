"""Draw the figures of docs/concepts: each is a simulation of a few requests. The same figures come out each time.

Command, in a clone with WarpGroup installed: python docs/make_figures.py
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from warpgroup.experiment import Limits
from warpgroup.records import Run
from warpgroup.sim import simulate
from warpgroup.workloads import Trace

FIGURES = Path(__file__).with_name("figures")
COLOURS = sns.color_palette("colorblind")
GIB = 1 << 30
Array = np.ndarray[Any, Any]
SECOND = 10**9


def requests(count: int, rate: float, seed: int) -> Trace:
    """A mix of short requests and long ones, one in five, that arrive at `rate` per second."""
    draw = np.random.default_rng(seed)
    arrivals = np.cumsum(draw.exponential(1 / rate, count))
    prompts = np.where(draw.random(count) < 0.2, draw.integers(2000, 6000, count), draw.integers(50, 900, count))
    outputs = draw.integers(100, 900, count)
    rows = [(int(t * SECOND), int(p), int(n)) for t, p, n in zip(arrivals, prompts, outputs, strict=True)]
    return Trace.of_rows(rows, max_new_tokens=1000)


@contextmanager
def figure(name: str, rows: int, columns: int, height: float) -> Iterator[list[Axes]]:
    """The axes of a figure, which is saved as an SVG file that is the same each time."""
    style: Any = {"svg.hashsalt": name, "svg.fonttype": "none", "font.family": "sans-serif", "font.size": 9}
    with mpl.rc_context(style), sns.axes_style("whitegrid"):
        drawn, axes = plt.subplots(
            rows, columns, figsize=(8, height), sharex=True, sharey=columns > 1, squeeze=False, layout="constrained"
        )
        yield list(axes.flat)
        drawn.savefig(FIGURES / f"{name}.svg", metadata={"Date": None})
        plt.close(drawn)


def sampled(run: Run, column: str, points: int = 500) -> tuple[Array, Array]:
    """A column of the run's steps at evenly spaced times in seconds, in GiB."""
    ran = run.steps["steps"] > 0
    starts_s = run.steps["start_ns"][ran] / SECOND
    times_s = np.linspace(0, run.info.summary["makespan_s"], points)
    rows = np.searchsorted(starts_s, times_s, side="right") - 1
    return times_s, run.steps[column][ran][np.maximum(rows, 0)] / GIB


def draw_prefill_and_decode() -> None:
    """Tokens of each step, and how long each takes."""
    run = simulate(requests(12, 1.5, seed=3), "paged", limits=Limits(step_tokens=512, max_seqs=64))
    steps = {name: column[run.steps["steps"] > 0] for name, column in run.steps.items()}
    count = steps["steps"]
    t = np.repeat(steps["start_ns"] / SECOND, count)
    t += np.concatenate([np.arange(n) for n in count]) * np.repeat(steps["duration_ns"] / count, count) / SECOND
    prefill, decode = np.repeat(steps["prefill_tokens"] / count, count), np.repeat(steps["decode_rows"], count)
    with figure("prefill_and_decode", 2, 1, 4.2) as (above, below):
        above.vlines(t[prefill > 0], 0, prefill[prefill > 0], color=COLOURS[1], linewidth=1, label="prefill")
        above.step(t, decode, color=COLOURS[0], where="post", label="decode: one for each running request")
        above.set(ylabel="tokens in a step", yscale="symlog", ylim=(0, 900), yticks=[0, 1, 10, 100, 512])
        above.set_yticklabels(["0", "1", "10", "100", "512"])
        above.legend(loc="upper right")
        below.step(t, np.repeat(steps["duration_ns"] / count, count) / 1e6, color=COLOURS[7], where="post", linewidth=1)
        below.set(ylabel="step duration (ms)", xlabel="time (s)", ylim=(0, None))


POOL_TOKENS = 8_000
"""Of the figure of caches."""


def draw_kv_cache() -> None:
    """The caches of eight requests, stacked."""
    trace = requests(8, 1.0, seed=5)
    run = simulate(trace, "paged", limits=Limits(kv_budget_tokens=POOL_TOKENS))
    r = run.requests
    token_gib = run.info.scenario.memory.kv_bytes_per_token / GIB
    t = np.linspace(0, r["finish_ns"].max() / SECOND, 500)
    held = []
    for admitted, first, finish, prompt, output in zip(
        r["admitted_ns"], r["first_token_ns"], r["finish_ns"], r["prompt_tokens"], r["output_tokens"], strict=True
    ):
        tokens = np.interp(t, [first / SECOND, finish / SECOND], [prompt, prompt + output])
        held.append(np.where((t >= admitted / SECOND) & (t <= finish / SECOND), tokens, 0) * token_gib)
    with figure("kv_cache", 1, 1, 3.0) as (panel,):
        panel.stackplot(t, held, colors=sns.color_palette("colorblind", len(held)), linewidth=0)
        panel.axhline(
            POOL_TOKENS * token_gib,
            color="black",
            linestyle="--",
            linewidth=1,
            label=f"KV pool: {POOL_TOKENS:,} tokens",
        )
        panel.set(xlabel="time (s)", ylabel="KV cache (GiB)", ylim=(0, 1.3 * POOL_TOKENS * token_gib), xlim=(0, t[-1]))
        panel.legend(loc="upper right")


def draw_counting() -> None:
    """KV memory in use under two counts and two policies that see memory."""
    trace = requests(160, 3.0, seed=11)
    policies = ["count-continuous(n=4)", "count-continuous(n=24)", "paged", "skyline"]
    limits = Limits(kv_budget_tokens=24_000)
    with figure("counting", 2, 2, 4.4) as panels:
        for panel, policy, colour in zip(panels, policies, COLOURS, strict=False):
            run = simulate(trace, policy, limits=limits)
            t, held = sampled(run, "kv_bytes")
            budget = run.info.scenario.memory.kv_pool_bytes / GIB
            panel.fill_between(t, held, step="post", color=colour, alpha=0.8, linewidth=0)
            panel.axhline(budget, color="black", linestyle="--", linewidth=1)
            out_s = run.steps["start_ns"][run.steps["steps"] == 0] / SECOND
            panel.plot(out_s, np.full(len(out_s), budget * 1.06), "|", color="crimson", markersize=7)
            ended = f"done in {run.info.summary['makespan_s']:,.0f} s, {len(out_s)} steps out of memory"
            panel.set_title(f"{policy}: {ended}", fontsize=9, loc="left")
            panel.set(ylim=(0, budget * 1.15))
        for panel in panels[::2]:
            panel.set_ylabel("KV cache (GiB)")
        for panel in panels[2:]:
            panel.set_xlabel("time (s)")


def draw_first_fit_decreasing() -> None:
    """Reserved and used memory under ffd and skyline."""
    trace = requests(160, 3.0, seed=11)
    with figure("first_fit_decreasing", 2, 1, 4.4) as panels:
        for panel, policy, colour in zip(panels, ["ffd", "skyline"], [COLOURS[4], COLOURS[3]], strict=True):
            run = simulate(trace, policy, limits=Limits(kv_budget_tokens=24_000))
            t, held = sampled(run, "kv_bytes")
            panel.fill_between(t, held, step="post", color=colour, alpha=0.8, linewidth=0, label="in use")
            panel.plot(t, sampled(run, "reserved_bytes")[1], color="black", linewidth=0.8, label="reserved")
            panel.set_title(f"{policy}: done in {run.info.summary['makespan_s']:,.0f} s", fontsize=9, loc="left")
            panel.set(ylabel="KV cache (GiB)", ylim=(0, None))
            panel.legend(loc="upper right")
        panels[-1].set_xlabel("time (s)")


def main() -> None:
    """Draw all of them."""
    FIGURES.mkdir(exist_ok=True)
    draw_prefill_and_decode()
    draw_kv_cache()
    draw_counting()
    draw_first_fit_decreasing()


if __name__ == "__main__":
    main()
