"""A clone of the repository is the package itself: what happens when it is imported, or tested, as it lies there."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.paths import REPOSITORY

BUILT = shutil.ignore_patterns("*.so", "build", "__pycache__", ".*", "results")


def clone_without_core(folder: Path) -> Path:
    """The Python files of the repository, and no built core."""
    folder.mkdir()
    for name in ("__init__.py", "__main__.py", "errors.py", "experiment.py", "pyproject.toml"):
        shutil.copy(REPOSITORY / name, folder)
    for name in ("cli", "csrc", "records", "workloads", "sim", "reports"):
        shutil.copytree(REPOSITORY / name, folder / name, ignore=BUILT)
    return folder


def python(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """A Python that finds packages in `cwd` alone, beside those that are installed."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("code", ["import warpgroup", "from warpgroup.sim import simulate", "import warpgroup.csrc"])
def test_a_source_tree_without_the_core_says_in_one_line_what_to_do(tmp_path, code):
    clone = clone_without_core(tmp_path / "warpgroup")
    done = python("-c", code, cwd=tmp_path)
    assert done.returncode == 1
    said = done.stderr.strip().splitlines()[-1]
    assert said == (
        f"ImportError: the C++ core of warpgroup is not built in {clone}: run `pip install .` there, then import "
        "warpgroup from another folder"
    )
    assert "During handling" not in done.stderr


def test_the_command_of_a_source_tree_says_it_too(tmp_path):
    clone_without_core(tmp_path / "warpgroup")
    done = python("-m", "warpgroup", "--version", cwd=tmp_path)
    assert done.returncode == 1
    assert "run `pip install .` there" in done.stderr.strip().splitlines()[-1]


@pytest.mark.parametrize("name", ["WarpGroup-main", "my.clone", "warpgroup"])
def test_tests_run_in_a_clone_of_any_name(tmp_path, name):
    clone = clone_without_core(tmp_path / name)
    (clone / "tests" / "cli").mkdir(parents=True)
    shutil.copy(REPOSITORY / "tests" / "conftest.py", clone / "tests")
    (clone / "tests" / "cli" / "test_one.py").write_text("def test_one():\n    pass\n")
    done = python("-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=clone)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout
