"""A repository with a gate, and the command run in it."""

import json
import subprocess
from pathlib import Path

from typer.testing import CliRunner

from warpgroup.cli.main import app
from warpgroup.errors import WarpGroupError

CONFIG = """
[exact]
scenarios = ["own.toml"]
policies = ["paged", "skyline"]
"""
SCENARIO = """
name = "own"
purpose = "small"
model = "qwen2.5-7b"
device = "h200"
requests = 30
max_new_tokens = 400
kv_budget_tokens = 8000
arrivals = "poisson:20"

[workload]
arrivals = ""

[[workload.components]]
mixture = "sharegpt-8k"
"""


def git(folder: Path, *arguments: str) -> None:
    named = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    subprocess.run(["git", "-C", folder, *named, *arguments], check=True, capture_output=True)


def make_repository(folder: Path) -> None:
    """A repository of one commit, whose gate simulates one small scenario."""
    (folder / "perf-gate.toml").write_text(CONFIG)
    (folder / "own.toml").write_text(SCENARIO)
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "first")


def gate(*arguments: str):
    """Run `warpgroup gate`; the result has an exit code and an output."""
    done = CliRunner().invoke(app, ["gate", *arguments])
    if isinstance(done.exception, WarpGroupError):  # as `main` handles it
        return type("Done", (), {"exit_code": 2, "output": str(done.exception)})
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def checks_in(path: Path) -> list[dict]:
    """The checks of a result that `gate run --json` wrote."""
    return json.loads(path.read_text())["checks"]
