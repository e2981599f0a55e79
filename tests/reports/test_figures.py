"""Figures of runs that have the same policy: each is a line, or a panel, of its own name."""

import dataclasses

import msgspec

from warpgroup.reports.latency_figure import latency_figure
from warpgroup.reports.vram_figure import vram_figure


def twins(runs):
    real = dataclasses.replace(runs[3], info=msgspec.structs.replace(runs[3].info, kind="real"))
    return [runs[3], real]


def test_two_runs_of_one_policy_are_two_lines(runs):
    figure = latency_figure(twins(runs))
    legend = figure.axes[1].get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["paged simulated", "paged real"]
    assert len(figure.axes[0].get_lines()) == 3  # and the SLO


def test_two_runs_of_one_policy_have_panels_of_different_names(runs):
    titles = [panel.get_title("left") or panel.get_title() for panel in vram_figure(twins(runs)).axes]
    assert [title.partition(":")[0] for title in titles] == ["paged simulated", "paged real"]
