"""The exact class: figures of simulations, which are the same on every machine. Any difference has to be accepted."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import msgspec

from ....csrc import pack, packing_algorithms
from ....experiment import Experiment
from ....records import Run
from ....records.metrics import good_mask, makespan_ns
from ..baseline import (
    ACCEPT,
    BaselineUpdate,
    Figures,
    accepted_or_none,
    describe_differences,
    read_baseline,
    refuse_empty,
    write_baseline,
)
from ..gate import Gate
from ..result import Check, Outcome
from .gate_class import GateClass

_NAME = "exact"


class ExactSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The simulations to compare.

    Attributes:
        scenarios: built-in names, or TOML files relative to the configuration.
        requests: the first so many of each scenario; 0: all.
    """

    scenarios: tuple[str, ...]
    policies: tuple[str, ...]
    requests: Annotated[int, msgspec.Meta(ge=0)] = 0


class ExactClass(GateClass[ExactSettings]):
    """Simulated figures: equal to the baseline, or changed."""

    name = _NAME
    settings = ExactSettings
    lists_changes = True
    rule = (
        "Figures of simulations. They must equal the baseline: any change, for better or worse, fails until it is "
        "accepted with a reason (warpgroup gate accept)."
    )

    def measure(self, gate: Gate, settings: ExactSettings) -> list[Check]:
        """One check a figure."""
        base = read_figures(_file(gate))
        return compare_figures(base, _simulated(gate, settings))

    def accept(self, gate: Gate, settings: ExactSettings) -> BaselineUpdate:
        """The figures of the working tree."""
        figures, path = _simulated(gate, settings), _file(gate)
        before = accepted_or_none(lambda: read_figures(path))
        return BaselineUpdate(describe_differences(_NAME, before, figures), lambda: write_figures(path, figures))


def _file(gate: Gate) -> Path:
    return gate.baseline / "exact.json"


def _simulated(gate: Gate, settings: ExactSettings) -> Figures:
    gate.say("simulating")
    return gate.simulate_figures(
        settings.scenarios, settings.policies, requests=settings.requests, folder=gate.path.parent
    )


def compare_figures(base: Figures, head: Figures) -> list[Check]:
    """One check a figure: passed or changed; broken if one side lacks it, because it was renamed or never accepted."""
    checks = []
    for name in sorted({*base, *head}):
        old, new = base.get(name, {}), head.get(name, {})
        checks += [_compared(name, metric, old.get(metric), new.get(metric)) for metric in {**old, **new}]
    return checks


def _compared(name: str, metric: str, base: int | str | None, head: int | str | None) -> Check:
    outcome, detail, change = Outcome.PASSED, "", None
    if base is None:
        outcome, detail = Outcome.BROKEN, f"the baseline does not have this figure; {ACCEPT}"
    elif head is None:
        outcome, detail = Outcome.BROKEN, f"the working tree no longer has this figure; {ACCEPT}"
    elif base != head:
        outcome, detail = Outcome.CHANGED, ACCEPT
        if isinstance(base, int) and isinstance(head, int) and base:
            change = head / base - 1
    return Check(_NAME, name, metric, outcome, base, head, change, detail=detail)


class _Baseline(msgspec.Struct, forbid_unknown_fields=True):
    figures: Figures


def read_figures(path: Path) -> Figures:
    """Read the accepted figures. Raises Broken: the file is missing, empty or damaged."""
    figures = read_baseline(path, _Baseline).figures
    refuse_empty(path, bool(figures))
    return figures


def write_figures(path: Path, figures: Mapping[str, Mapping[str, int | str]]) -> None:
    """Write accepted figures."""
    write_baseline(path, {"figures": figures})


def figures_of_run(run: Run) -> dict[str, int | str]:
    """The figures of a simulated run: whole numbers, and the hash of its plans, which depends on every decision."""
    r, summary = run.requests, run.info.summary
    return {
        "makespan_ns": makespan_ns(run),
        "good requests": int(good_mask(run).sum()),
        **{name: int(summary[name]) for name in ("finished", "rejected", "failed", "ooms", "preemptions")},
        "peak_vram_bytes": int(summary["peak_vram_bytes"]),
        "recomputed_tokens": int(r["recomputed_tokens"].sum()),
        "plan_hash": run.info.plan_hash,
    }


def figures_of_packing(experiment: Experiment) -> dict[str, int | str]:
    """The number of bins, by algorithm, that the peaks of all requests need if a bin is a tenth of the KV pool."""
    trace, memory = experiment.trace, experiment.memory
    peaks = trace.prompt_tokens + trace.output_tokens
    capacity = max(memory.pool_blocks * memory.block_tokens // 10, int(peaks.max()))
    return {f"bins, {name}": pack(peaks, capacity, name).num_bins for name in packing_algorithms()}
