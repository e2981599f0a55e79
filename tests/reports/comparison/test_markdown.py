"""The report as Markdown: it says what the page says, and no name breaks out of its place."""

import re
from html import unescape
from html.parser import HTMLParser

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from warpgroup.errors import InvalidRun
from warpgroup.records import Run
from warpgroup.reports.comparison.markdown import render_markdown
from warpgroup.reports.judging.study import Study
from warpgroup.reports.judging.table import comparison_table
from warpgroup.reports.judging.verdict import verdict
from warpgroup.reports.page.escaping import markdown_block, markdown_code, markdown_text

HOSTILE = ("</script><img src=x onerror=alert(1)>", "a|b`c\nd", "</details>\n\n# @everyone ![x](https://evil.example)")
ALLOWED = {
    *(
        "h3",
        "p",
        "strong",
        "ul",
        "li",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "details",
        "summary",
        "pre",
        "code",
    ),
}


class Reader(HTMLParser):
    """Elements, and the text of each kind."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.inside: list[str] = []
        self.texts: dict[str, list[str]] = {}

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.inside.append(tag)
        self.texts.setdefault(tag, []).append("")

    def handle_endtag(self, tag):
        assert self.inside.pop() == tag

    def handle_data(self, data):
        for tag in dict.fromkeys(self.inside):
            self.texts[tag][-1] += data


def read(text: str) -> Reader:
    """As GitHub shows it: CommonMark with tables and HTML."""
    reader = Reader()
    reader.feed(MarkdownIt("commonmark", {"html": True}).enable("table").render(text))
    assert reader.inside == []
    return reader


def study(runs: list[Run]) -> Study:
    return Study.of(runs, [[run.info] for run in runs], [], [])


def named(run: Run, name: str) -> Run:
    scenario = msgspec.structs.replace(run.info.scenario, name=name, model=name, device=name, step_time=name)
    info = msgspec.structs.replace(run.info, policy=name, scenario=scenario, command=name, note=name)
    return Run(info, run.requests, run.steps, run.events)


def test_it_says_what_the_page_says(runs):
    shown = read(render_markdown(study(runs)))
    infos = [run.info for run in runs]
    judged = verdict(infos)
    assert shown.texts["strong"][0] == judged.sentence
    assert [text.strip() for text in shown.texts["li"][: len(judged.details)]] == judged.details
    table = comparison_table(judged)
    assert shown.texts["th"] == [head for head, _ in table.heads]
    assert shown.texts["td"] == [cell.text for row in table.rows for cell in row]
    assert shown.texts["code"] == ["warpgroup compare\n"]


def test_the_winner_is_bold_unless_there_is_none(runs):
    strong = read(render_markdown(study(runs))).texts["strong"]
    assert strong[1].endswith("(best)")
    assert len(read(render_markdown(study(runs[:1]))).texts["strong"]) == 1


def test_incomparable_runs_have_no_winner(runs):
    other = named(runs[4], "another")
    strong = read(render_markdown(study([runs[3], other]))).texts["strong"]
    assert len(strong) == 1
    assert strong[0].startswith("Not comparable: the runs differ in model and device. Run every policy with the same")


def test_it_says_of_which_seed_the_table_is_and_what_made_each_run(runs):
    other = msgspec.structs.replace(runs[4].info, command="warpgroup replay")
    both = [runs[3], Run(other, runs[4].requests, runs[4].steps, runs[4].events)]
    seeds = [[run.info, msgspec.structs.replace(run.info, seed=1)] for run in both]
    text = render_markdown(Study.of(both, seeds, [], []))
    assert "\nThe table shows the first seed. Latencies" in text
    assert "```sh\nwarpgroup compare\nwarpgroup replay\n```" in text
    assert "The table shows the first seed" not in render_markdown(Study.of(both))


def test_what_may_be_doubted_is_folded(runs):
    text = render_markdown(study(runs))
    folded = text[text.index("<details>") : text.index("</details>")]
    assert "Simulated, not measured" in folded
    assert "differ only in the policy" in folded


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_text_and_leaves_the_rest_as_it_is(runs, name):
    plain = read(render_markdown(study([named(runs[3], "one"), named(runs[4], "two")])))
    shown = read(render_markdown(study([named(runs[3], name), named(runs[4], f"{name}2")])))
    assert shown.tags == plain.tags
    assert set(shown.tags) <= ALLOWED
    assert len(shown.texts["td"]) == 2 * len(shown.texts["th"])
    one_line = " ".join(name.split())
    assert one_line in shown.texts["h3"][0].replace("\u200b", "")
    assert one_line in shown.texts["td"][0].replace("\u200b", "")
    assert shown.texts["code"] == [f"{name}\n{name}2\n"]


@given(st.text(max_size=40), st.text(max_size=40))
@settings(max_examples=300)
def test_any_text_stays_within_its_cell_and_its_block(cell, block):
    table = f"| a | b |\n|---|---|\n| {markdown_text(cell, 99)} | x |\n"
    shown = read(f"{table}\n{markdown_block(block, 'sh')}\n{markdown_code(cell, 99)}\n")
    assert shown.tags == ["table", "thead", "tr", "th", "th", "tbody", "tr", "td", "td", "pre", "code", "p", "code"]
    assert shown.texts["td"][1] == "x"
    assert "@" not in re.sub("@\u200b", "", unescape(markdown_text(cell, 99)))


def test_no_address_becomes_a_link():
    shown = markdown_text("https://a.example www.b.example c@d.example #12", 99)
    assert not re.search(r"://|www\.|@(?!&#8203;)|(?<!&)#\d", shown)


def test_the_same_study_gives_the_same_text_and_no_run_is_an_error(runs):
    assert render_markdown(study(runs)) == render_markdown(study(runs))
    with pytest.raises(InvalidRun, match="no run"):
        render_markdown(study([]))
