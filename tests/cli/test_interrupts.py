"""Ctrl-C ends a command with one line and exit code 130, and is not swallowed in Python."""

import subprocess
import sys
from dataclasses import replace

import msgspec
import pytest

import warpgroup as wg
from warpgroup.cli.main import run_command_line

STARTING = """
import runpy, sys

class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            raise {error}

sys.meta_path.insert(0, Interrupting())
runpy.run_module("warpgroup", run_name="__main__")
"""


@pytest.mark.parametrize(
    "error", ["KeyboardInterrupt", "ImportError('initialization failed') from KeyboardInterrupt()"], ids=["own", "core"]
)
@pytest.mark.parametrize("module", ["msgspec", "warpgroup.cli.sweep"])
def test_an_interrupt_while_the_command_loads_is_one_line(module, error):
    script = STARTING.format(module=module, error=error)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "error: interrupted\n")


def test_a_library_that_is_missing_is_still_an_error():
    script = STARTING.format(module="msgspec", error="ModuleNotFoundError('no msgspec')")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "no msgspec" in done.stderr


@pytest.mark.parametrize(
    ("place", "line"),
    [
        ("warpgroup.cli.trace.imitate.fit", "trace fit requests.csv -o model.json"),
        ("warpgroup.cli.trace.imitate.generate_from", "trace generate azure-conv -o made.parquet"),
        ("warpgroup.cli.compare.experiment_from", "compare --trace requests.csv"),
        ("warpgroup.cli.simulate.experiment_from", "simulate --trace requests.csv --policy paged"),
    ],
)
def test_an_interrupt_in_a_command_is_one_line(place, line, tmp_path, monkeypatch, capsys):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    (tmp_path / "requests.csv").write_text("arrived_at,num_prefill_tokens,num_decode_tokens\n0,10,20\n")
    monkeypatch.setattr(place, interrupted)
    monkeypatch.setattr(sys, "argv", ["warpgroup", *line.split()])
    with pytest.raises(SystemExit) as ended:
        run_command_line()
    assert ended.value.code == 130
    assert capsys.readouterr().err == "error: interrupted\n"


def test_an_interrupt_in_a_simulation_of_python_is_not_swallowed(monkeypatch):
    from warpgroup.cli.python import simulate_trace

    trace = wg.Trace.of_rows([(0, 9, 9)], max_new_tokens=9)
    run = wg.simulate(trace, "paged")
    half = replace(run, info=msgspec.structs.replace(run.info, complete=False))
    monkeypatch.setattr(simulate_trace, "simulate", lambda *_: half)
    with pytest.raises(KeyboardInterrupt):
        wg.simulate(trace, "paged")
