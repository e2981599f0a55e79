"""The sample workflow: valid for GitHub, and the gate has every option in it."""

import os
import re
import subprocess
import sys
from importlib.util import find_spec

import pytest
from support.paths import BENCHMARKS

WORKFLOW = BENCHMARKS / "perf-gate.yml"


def run(*command: str) -> subprocess.CompletedProcess[str]:
    # Wide and without colour, so that no option's name is broken or painted.
    settings = {"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}
    return subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True, env=os.environ | settings)


def test_it_is_a_workflow_by_githubs_schema():
    if find_spec("check_jsonschema") is None:
        pytest.skip("check-jsonschema is not installed: pip install '.[dev]'")
    checked = run("check_jsonschema", "--builtin-schema", "vendor.github-workflows", str(WORKFLOW))
    assert checked.returncode == 0, checked.stdout


def test_the_schema_would_notice_a_mistake(tmp_path):
    if find_spec("check_jsonschema") is None:
        pytest.skip("check-jsonschema is not installed: pip install '.[dev]'")
    wrong = tmp_path / "wrong.yml"
    wrong.write_text(WORKFLOW.read_text().replace("runs-on:", "runs_on:"))
    assert run("check_jsonschema", "--builtin-schema", "vendor.github-workflows", str(wrong)).returncode != 0


def test_every_option_in_it_is_one_of_the_gate():
    used = set(re.findall(r"(?<=\s)--[a-z]+(?=\s)", gate_command()))
    assert {"--config", "--base", "--junit", "--markdown", "--html"} <= used
    told = run("warpgroup", "gate", "run", "--help")
    assert told.returncode == 0, told.stderr
    assert used <= set(re.findall(r"--[a-z]+", told.stdout))


def test_it_can_read_and_nothing_else_and_ends_in_time():
    gate, job = structure()
    assert gate["permissions"] == {"contents": "read"}
    assert gate["concurrency"]["cancel-in-progress"] is True
    assert 0 < job["timeout-minutes"] <= 60


def test_the_base_is_fetched_and_the_results_are_kept_whatever_happens():
    _, job = structure()
    steps = {step.get("uses", "").partition("@")[0]: step for step in job["steps"]}
    assert steps["actions/checkout"]["with"]["fetch-depth"] == 0
    assert steps["actions/upload-artifact"]["if"] == "always()"


@pytest.mark.parametrize(("code", "ends"), [(0, 0), (1, 1), (2, 2), (3, 0), (4, 4)])
def test_inconclusive_is_a_warning_and_every_other_code_is_the_steps(tmp_path, code, ends):
    _, job = structure()
    (step,) = [step for step in job["steps"] if "warpgroup gate run" in step.get("run", "")]
    stand_in = tmp_path / "warpgroup"
    stand_in.write_text(f"#!/bin/sh\nexit {code}\n")
    stand_in.chmod(0o755)
    settings = {"PATH": f"{tmp_path}:/usr/bin:/bin", "BASE": "origin/main", "GITHUB_STEP_SUMMARY": "summary.md"}
    done = subprocess.run(["bash", "-e", "-c", step["run"]], cwd=tmp_path, env=settings, capture_output=True, text=True)
    assert done.returncode == ends
    assert ("::warning" in done.stdout) == (code == 3)


def gate_command() -> str:
    """The one command of the gate, its lines joined."""
    joined = WORKFLOW.read_text().replace("\\\n", " ")
    (command,) = re.findall(r"warpgroup gate run .*", joined)
    return command


def structure():
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    workflow = yaml.safe_load(WORKFLOW.read_text())
    (job,) = workflow["jobs"].values()
    return workflow, job
