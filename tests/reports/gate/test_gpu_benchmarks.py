"""The GPU benchmarks on a machine without a GPU: all are listed, and each says in one line what it needs."""

from pathlib import Path

import pytest
from support.paths import BENCHMARKS, REPOSITORY

from warpgroup.reports.gate.classes.timed.benchmark_list import FILE, read_benchmark_list
from warpgroup.reports.gate.classes.timed.pairs import Side, benchmarks_of, launch
from warpgroup.reports.gate.config_file import read_config

CONFIG = BENCHMARKS / "perf-gate-gpu.toml"
ROOT = REPOSITORY


@pytest.fixture
def side(tmp_path) -> Side:
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError('no torch here')\n")
    return Side("head", tmp_path)


@pytest.fixture
def files() -> list[Path]:
    return [CONFIG.parent / name for name in read_config(CONFIG).classes["timed"].files]


def test_all_are_listed(side, files):
    names, unread = benchmarks_of(side, files, root=ROOT, timeout_s=60)
    assert (sorted(names), unread) == (read_benchmark_list(CONFIG.parent / read_config(CONFIG).baseline / FILE), {})


def test_each_says_what_it_needs(side, files):
    found = launch(side, side, files, only=None, pairs=1, root=ROOT, timeout_s=60)
    assert set(found.clocks.values()) == {"cuda"}
    assert found.broken.keys() == found.clocks.keys()
    assert all("needs torch, which cannot be imported: no torch here" in str(why) for why in found.broken.values())
