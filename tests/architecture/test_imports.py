"""Arrows point down only. docs/architecture.md states these rules for readers; this is their only copy in code."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.paths import REPOSITORY

BELOW = {
    "errors": set(),
    "csrc": {"errors"},
    "workloads": {"errors"},
    "experiment": {"csrc", "workloads", "errors"},
    "records": {"experiment", "csrc", "workloads", "errors"},
    "sim": {"records", "experiment", "csrc", "workloads", "errors"},
    "runtime": {"records", "experiment", "csrc", "workloads", "errors"},
    "reports": {"records", "experiment", "csrc", "workloads", "errors"},
    "cli": {"sim", "runtime", "reports", "records", "experiment", "csrc", "workloads", "errors"},
    "__init__": {"cli", "sim", "reports", "records", "experiment", "csrc", "workloads", "errors"},
    "__main__": {"cli"},
}
"""What each package and module at the root may import."""

INSIDE = {
    "workloads": [
        "quantities",
        "streams",
        "decoding",
        "trace",
        "readers",
        "reading",
        "models",
        "fitting",
        "specs",
        "scenarios",
    ],
    "records": ["run", "upgrade", "requests", "metrics", "merit", "check", "store", "outcome", "sweep"],
    "sim": [
        "step_time",
        "executor",
        "simulate",
        "count_search",
        "tasks",
        "compare",
        "parity",
        "fitting",
        "ablation",
        "ablation_runs",
        "sweep",
    ],
    "runtime": [
        "extras",
        "machine",
        "step",
        "attention",
        "model",
        "memory",
        "engine",
        "replay",
        "calibration",
        "generation",
    ],
    "cli": [
        "defaults",
        "terminal",
        "outputs",
        "slo",
        "help",
        "options",
        "experiments",
        "tables",
        "python",
        "request_log",
        "calibrate",
        "compare",
        "gate",
        "listings",
        "replay",
        "report",
        "scenarios",
        "simulate",
        "sweep",
        "trace",
        "validate",
        "main",
    ],
    "reports": ["numbers", "page", "judging", "figures", "validation", "trace", "comparison", "gate"],
}
"""The folders and modules inside a package, bottom first: each imports only those before it."""

CORE = ["memory", "packing", "scheduler", "simulation", "staging"]
"""The folders of the C++ core, bottom first."""

GATED_PROCESS = REPOSITORY / "reports" / "gate" / "classes" / "timed" / "sampler.py"
"""A pytest plugin that runs in the process of the gated benchmarks: its CUDA clock uses the torch that they use."""


def modules(package: str) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """Files of a package or module at the root, each with what it imports of ours, as paths from the root."""
    place = REPOSITORY / package
    for file in sorted(place.rglob("*.py")) if place.is_dir() else [place.with_suffix(".py")]:
        folder = file.relative_to(REPOSITORY).parts[:-1]
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level:
                base = (
                    (*folder[: len(folder) - node.level + 1], *(node.module or "").split("."))
                    if node.module
                    else (folder[: len(folder) - node.level + 1])
                )
                for name in node.names:
                    yield file, tuple(filter(None, (*base, name.name)))


@pytest.mark.parametrize("package", BELOW)
def test_a_package_imports_only_those_below_it(package):
    found = {(str(file.relative_to(REPOSITORY)), path[0]) for file, path in modules(package)}
    assert {(file, other) for file, other in found if other not in BELOW[package] | {package}} == set()


@pytest.mark.parametrize("package", INSIDE)
def test_folders_inside_a_package_point_one_way(package):
    order = INSIDE[package]
    here = {each.stem for each in (REPOSITORY / package).iterdir() if each.suffix == ".py" or list(each.glob("*.py"))}
    assert here - {"__init__"} == set(order)
    upward = set()
    for file, path in modules(package):
        importer = file.relative_to(REPOSITORY / package).parts[0].removesuffix(".py")
        if importer == "__init__" or path[0] != package:
            continue
        assert path[1:] and path[1] in order, f"{file} imports the face of its own package"  # noqa: PT018
        if order.index(path[1]) > order.index(importer):
            upward.add((str(file.relative_to(REPOSITORY)), ".".join(path)))
    assert upward == set()


def test_only_the_runtime_imports_torch():
    found = set()
    for package in set(BELOW) - {"runtime"}:
        place = REPOSITORY / package
        for file in sorted(place.rglob("*.py")) if place.is_dir() else [place.with_suffix(".py")]:
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                names = [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
                names += [name.name for name in node.names] if isinstance(node, ast.Import) else []
                found |= {file for name in names if name.split(".")[0] in ("torch", "triton", "flash_attn_2_cuda")}
    assert found <= {GATED_PROCESS}


@pytest.mark.parametrize("folder", CORE)
def test_the_core_includes_only_what_is_below(folder):
    included = {
        (str(file.relative_to(REPOSITORY)), other)
        for root in (REPOSITORY / "csrc" / "src", REPOSITORY / "csrc" / "include" / "warpgroup")
        for file in sorted((root / folder).rglob("*.?pp"))
        for other in re.findall(r'#include "warpgroup/(\w+)/', file.read_text(encoding="utf-8"))
    }
    assert {(file, other) for file, other in included if CORE.index(other) > CORE.index(folder)} == set()
