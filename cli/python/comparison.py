"""Several policies on the same requests, in a notebook."""

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any, Self

from ...records import RunInfo
from ...reports import Study, Verdict, verdict
from .run_result import RunResult

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Comparison:
    """Runs of the same requests under several policies.

    Attributes:
        runs: one for each policy, on the first seed.
        by_seed: for each of these runs the records of all seeds, including its own.
        verdict: who wins, by how much and why; `verdict.sentence` says it.
    """

    runs: list[RunResult]
    by_seed: list[list[RunInfo]]
    verdict: Verdict

    @classmethod
    def of(cls, runs: list[RunResult], by_seed: list[list[RunInfo]]) -> Self:
        """Judge the runs once."""
        return cls(runs, by_seed, verdict([run.info for run in runs], by_seed))

    @property
    def winner(self) -> RunResult | None:
        """The run of the best policy; None: there is none."""
        return None if self.verdict.winner is None else self.runs[self.verdict.winner]

    @property
    def study(self) -> Study:
        """What a report shows of it."""
        return Study(list(self.runs), self.by_seed, ablation=[], sweeps=[], judged=self.verdict)

    def table(self) -> "pd.DataFrame":
        """The figures of the summaries: one row for each policy and seed.

        Latencies are in seconds, with their statistic at the end of the name: `ttft_s_p90`. Sizes are in bytes.
        """
        import pandas as pd

        rows = [
            {"policy": info.policy, "seed": info.seed, **_flat(info.summary)}
            for seeds in self.by_seed
            for info in seeds
        ]
        return pd.DataFrame(rows).set_index(["policy", "seed"])

    def __getitem__(self, policy: str) -> RunResult:
        """The run of a policy, by its text. Raises KeyError, which names the policies that there are."""
        found = next((run for run in self.runs if run.policy == policy), None)
        if found is None:
            raise KeyError(f"no run of {policy!r}: there are {', '.join(run.policy for run in self.runs)}")
        return found

    def __repr__(self) -> str:
        count = len(self.runs)
        return f"<comparison of {count} {'policy' if count == 1 else 'policies'}: {self.verdict.headline}>"

    def _repr_html_(self) -> str:
        from ...reports import comparison_table

        shown = comparison_table(self.verdict)
        heads = "".join(f'<th title="{escape(meaning)}">{escape(head)}</th>' for head, meaning in shown.heads)
        rows = "".join(
            "<tr>" + "".join(f"<td>{escape(cell.text)}</td>" for cell in row) + "</tr>" for row in shown.rows
        )
        return f"<p><b>{escape(self.verdict.sentence)}</b></p><table><tr>{heads}</tr>{rows}</table>"


def _flat(summary: dict[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in summary.items():
        if isinstance(value, dict):
            flat |= {f"{name}_{statistic}": each for statistic, each in value.items()}
        elif name != "policy":
            flat[name] = value
    return flat
