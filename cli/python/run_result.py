"""One run in a notebook: its summary, its tables as DataFrames, and its plots."""

from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from ...csrc import EVENTS, STATUSES, STEP_EVENTS
from ...errors import FolderInUse, InvalidRun
from ...records import BLOCKED_BY, Columns, Run, claim_folder, read_run, write_run

if TYPE_CHECKING:
    import pandas as pd

    from .plots import RunPlots

_CODED = {"status": STATUSES, "blocked_by": BLOCKED_BY}


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class RunResult(Run):
    """A simulated or measured run.

    Attributes:
        info: the record `run.json`: policy, scenario, seed, versions and summary.
        requests, steps, events: columns of integers; times in nanoseconds, sizes in bytes.
    """

    @classmethod
    def of(cls, run: Run) -> Self:
        """The same run, with what a notebook needs."""
        return cls(run.info, run.requests, run.steps, run.events)

    @property
    def policy(self) -> str:
        """The policy with its parameters."""
        return self.info.policy

    @property
    def summary(self) -> dict[str, Any]:
        """The figures of the run: throughput, goodput, latencies in seconds, memory."""
        return self.info.summary

    @property
    def plot(self) -> "RunPlots":
        """Plots: `run.plot.vram()`, `run.plot.latency()`, `run.plot.timeline()`."""
        from .plots import RunPlots

        return RunPlots(self)

    def requests_df(self) -> "pd.DataFrame":
        """One row a request, with the columns of `requests.parquet`.

        Columns that end in `_ns` are integer nanoseconds from the start of the run; -1: the moment never came.
        """
        return _dataframe(self.requests, _CODED)

    def steps_df(self) -> "pd.DataFrame":
        """One row a step, or a group of `steps` equal steps, with the columns of `steps.parquet`.

        Columns that end in `_ns` are integer nanoseconds, those that end in `_bytes` are bytes.
        """
        return _dataframe(self.steps, _CODED | {"event": STEP_EVENTS})

    def events_df(self) -> "pd.DataFrame":
        """One row an event (eviction, out of memory, rejection), with the columns of `events.parquet`."""
        return _dataframe(self.events, {"event": EVENTS})

    def save(self, folder: str | Path, *, force: bool = False) -> None:
        """Write the run to a folder, for `wg.read_run` and `warpgroup report`.

        Raises OutputRefused: the folder is not empty and `force` is false, or it cannot be written.
        """
        try:
            claim_folder(Path(folder), force=force)
        except FolderInUse as error:
            raise FolderInUse(f"{error}, or overwrite it with force=True") from None
        write_run(Path(folder), self)

    def __repr__(self) -> str:
        s = self.summary
        kind = self.info.kind if self.info.complete else f"{self.info.kind}, incomplete"
        return (
            f"<{kind} run of {self.info.label}: {s['finished']:,} of {s['requests']:,} requests finished, "
            f"{s['total_tok_s']:,.0f} tokens/s, goodput {s['goodput_req_s']:.3g} requests/s>"
        )

    def _repr_html_(self) -> str:
        rows = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in self._facts())
        return f"<table><caption>{escape(self.info.label)}</caption>{rows}</table>"

    def _facts(self) -> list[tuple[str, str]]:
        s, scenario = self.summary, self.info.scenario
        latencies = [
            (f"{name.upper()} p50 / p90", f"{_seconds(s[f'{name}_s']['p50'])} / {_seconds(s[f'{name}_s']['p90'])}")
            for name in ("ttft", "tpot", "e2e")
        ]
        return [
            ("trace", scenario.trace.name),
            ("model on device", f"{scenario.model} on {scenario.device}"),
            ("requests finished", f"{s['finished']:,} of {s['requests']:,}"),
            ("throughput", f"{s['total_tok_s']:,.0f} tokens/s"),
            (f"goodput ({s['slo']})", f"{s['goodput_req_s']:.3g} requests/s"),
            *latencies,
            ("peak VRAM", f"{s['peak_vram_bytes'] / 2**30:.1f} of {s['vram_budget_bytes'] / 2**30:.1f} GiB"),
            ("out-of-memory steps", f"{s['ooms']:,}"),
            ("preemptions", f"{s['preemptions']:,}"),
        ]


def load_run(folder: str | Path) -> RunResult:
    """Read a run that a command or `RunResult.save` wrote. Raises InvalidRun: it is no run, or cannot be read."""
    if not isinstance(folder, str | Path):
        raise InvalidRun(f"expected the folder of a run, not a {type(folder).__name__}")
    return RunResult.of(read_run(Path(folder)))


def _dataframe(columns: Columns, coded: dict[str, tuple[str, ...]]) -> "pd.DataFrame":
    """The columns as they are; codes become categories."""
    import pandas as pd

    return pd.DataFrame(
        {
            name: pd.Categorical.from_codes(values.astype(np.int8), pd.Index(coded[name])) if name in coded else values
            for name, values in columns.items()
        }
    )


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g} s"
