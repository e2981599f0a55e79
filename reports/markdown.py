"""The report in short, as GitHub's Markdown: for a pull request, or the summary of a job's step."""

from collections.abc import Sequence

from ..errors import InvalidRun
from .escaping import markdown_block, markdown_text
from .study import Study
from .table import Table, comparison
from .validity import Answer, validity, worst
from .verdict import Verdict, summary_of, verdict

_SENTENCE = 2_000
_CELL = 200
_COMMAND = 4_000
"""Characters of each that are shown at most: GitHub takes 65,536 in all."""


def render_markdown(study: Study) -> str:
    """Verdict, comparison and what may be doubted. The same study gives the same text. Raises InvalidRun if no run."""
    if not study.runs:
        raise InvalidRun("there is no run to report on")
    infos = [run.info for run in study.runs]
    judged = verdict(infos, study.replicates)
    commands = "\n".join(dict.fromkeys(info.command for info in infos))
    scenario = infos[0].scenario
    title = f"Batching policies on {scenario.name}: {scenario.model} on {scenario.device}"
    kept, seeds = summary_of(infos[0]).slo, max(map(len, study.replicates))
    return (
        f"### {markdown_text(title, _CELL)}\n\n"
        f"**{markdown_text(judged.sentence, _SENTENCE)}**\n\n"
        f"{_listed(judged.details)}\n"
        f"{_table(comparison(infos, judged), judged)}\n"
        f"{'Of the first seed. ' if seeds > 1 else ''}Latencies of finished requests; "
        f"goodput counts those that keep {markdown_text(kept, _CELL)}.\n\n"
        f"{_folded(validity(study.runs, study.replicates))}\n"
        f"{markdown_block(commands[:_COMMAND], 'sh')}"
    )


def _listed(lines: Sequence[str]) -> str:
    return "".join(f"- {markdown_text(each, _SENTENCE)}\n" for each in lines)


def _table(table: Table, judged: Verdict) -> str:
    """The winner's row in bold, if there is one."""
    best = judged.winner if judged.contested and not judged.tied else None
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
