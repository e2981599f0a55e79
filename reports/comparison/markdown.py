"""A short report as GitHub Markdown, for a pull request or the summary of a CI job."""

from collections.abc import Sequence

from ...errors import InvalidRun
from ...records.metrics import summary_of
from ...records.sweep import Sweep
from ..judging.study import Study
from ..judging.table import ReportTable, comparison_table
from ..judging.verdict import Verdict
from ..page.escaping import markdown_block, markdown_text
from .frontier import capacities, capacity_sentence, notes
from .sweep_validity import sweep_validity
from .validity import Answer, validity, worst

_SENTENCE = 2_000
_CELL = 200
_COMMAND = 4_000
"""Longest text of each kind, in characters: GitHub takes 65,536 in all."""


def render_markdown(study: Study) -> str:
    """Verdict, table and doubts of the runs, and the capacities of the sweeps. The same study gives the same text.

    Raises InvalidRun if the study has neither runs nor sweeps.
    """
    if not study.runs and not study.sweeps:
        raise InvalidRun("there is no run to report on")
    compared = [_compared(study, study.judged)] if study.judged is not None else []
    return "\n".join(compared + [_swept(sweep) for sweep in study.sweeps])


def _compared(study: Study, judged: Verdict) -> str:
    infos = [run.info for run in study.runs]
    commands = "\n".join(dict.fromkeys(info.command for info in infos))
    scenario = infos[0].scenario
    title = f"Batching policies on {scenario.name}: {scenario.model} on {scenario.device}"
    kept, seeds = summary_of(infos[0]).slo, max(map(len, study.replicates))
    return (
        f"### {markdown_text(title, _CELL)}\n\n"
        f"**{markdown_text(judged.sentence, _SENTENCE)}**\n\n"
        f"{_listed(judged.details)}\n"
        f"{_table(comparison_table(judged), judged.sole_winner)}\n"
        f"{'The table shows the first seed. ' if seeds > 1 else ''}Latencies are those of finished requests; "
        f"goodput counts the requests that kept {markdown_text(kept, _CELL)}.\n\n"
        f"{_folded(validity(study.runs, study.replicates))}\n"
        f"{markdown_block(commands[:_COMMAND], 'sh')}"
    )


def _swept(sweep: Sweep) -> str:
    scenario = sweep.scenario
    title = f"Capacity of each policy on {scenario.name}: {scenario.model} on {scenario.device}"
    return (
        f"### {markdown_text(title, _CELL)}\n\n"
        f"**{markdown_text(capacity_sentence(sweep), _SENTENCE)}**\n\n"
        f"{_listed(notes(sweep))}\n"
        f"{_table(capacities(sweep), None)}\n"
        f"Simulated: {markdown_text(scenario.step_time, _CELL)}; seeds {', '.join(map(str, sweep.seeds))}.\n\n"
        f"{_folded(sweep_validity(sweep))}\n"
        f"{markdown_block(sweep.command[:_COMMAND], 'sh')}"
    )


def _listed(lines: Sequence[str]) -> str:
    return "".join(f"- {markdown_text(each, _SENTENCE)}\n" for each in lines)


def _table(table: ReportTable, best: int | None) -> str:
    """The table, with the winner's row in bold if there is one."""
    heads = [markdown_text(head, _CELL) for head, _ in table.heads]
    rows = [[markdown_text(cell.text, _CELL) for cell in row] for row in table.rows]
    if best is not None:
        rows[best] = [f"**{text}**" for text in rows[best]]
    rule = ["---", *["--:"] * (len(heads) - 1)]
    return "".join(f"| {' | '.join(row)} |\n" for row in (heads, rule, *rows))


def _folded(answers: Sequence[Answer]) -> str:
    lines = [f"{answer.outcome.icon} {answer.outcome.value}: {answer.text}" for answer in answers]
    summary = f"Can it be trusted? {worst(answers).value}"
    return f"<details><summary>{summary}</summary>\n\n{_listed(lines)}\n</details>\n"
