"""What `--help` says of every command, at 80 columns, and that its examples can be typed as they are."""

import shlex
import sys
from collections.abc import Iterator

import pytest
import typer.main
from support.command_line import warpgroup

from warpgroup.cli.main import app

REQUESTS = "arrived_at,num_prefill_tokens,num_decode_tokens\n" + "".join(
    f"{i * 0.5},{100 + i * 37 % 900},{1 + i * 53 % 190}\n" for i in range(150)
)
LOG = "input_tokens,output_tokens,arrival,first,last\n" + "".join(
    f"{300 + i},{20 + i},{i * 0.5},{i * 0.5 + 0.1},{i * 0.5 + 1}\n" for i in range(30)
)
NEEDS_MORE = ("replay", "gate", "calibrate --model", "validate --runs", "validate --log", "calibrate --log")
"""Examples that need a GPU, a replay or a repository, or are run by tests of their own: they are parsed."""


def commands(command=None, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], object]]:
    command = command or typer.main.get_command(app)
    yield path, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, (*path, name))


ALL = dict(commands())
EXAMPLES = {
    path: [line for line in (command.epilog or "").splitlines() if line.startswith("warpgroup ")]
    for path, command in ALL.items()
}
LINES = sorted({line for lines in EXAMPLES.values() for line in lines})


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "requests.csv").write_text(REQUESTS)
    return tmp_path


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_each_help_has_two_examples_and_fits_80_columns(path, monkeypatch, capsys):
    monkeypatch.setenv("TERMINAL_WIDTH", "80")
    monkeypatch.setattr(sys, "argv", ["warpgroup", *path, "-h"])
    with pytest.raises(SystemExit) as ended:
        app(prog_name="warpgroup")
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    assert "…" not in shown
    if path[:1] != ("gate",) or len(path) > 1:
        assert len(EXAMPLES[path]) == 2, "two examples at the end of each --help"
        assert all(f" {line} " in shown for line in EXAMPLES[path]), "an example is wrapped: it cannot be copied"


def test_each_option_stands_in_a_panel():
    loose = [
        (" ".join(path), parameter.name)
        for path, command in ALL.items()
        if path and path[0] != "gate"
        for parameter in command.params
        if parameter.param_type_name == "option" and parameter.name != "help" and not parameter.rich_help_panel
    ]
    assert loose == []


@pytest.mark.parametrize("line", LINES)
def test_an_example_is_parsed(line, place):
    words = shlex.split(line)[1:]
    context = typer.main.get_command(app).make_context("warpgroup", words, resilient_parsing=False)
    command = context.command
    while rest := (*context._protected_args, *context.args):
        name, inner, more = command.resolve_command(context, list(rest))
        context = inner.make_context(name, more, parent=context)
        command = inner
        if not hasattr(inner, "commands"):
            break


@pytest.mark.parametrize("line", [line for line in LINES if not line.removeprefix("warpgroup ").startswith(NEEDS_MORE)])
def test_an_example_runs(line, place):
    if "warpgroup-runs/001" in line:
        made = warpgroup("compare", "--trace", "requests.csv", "--policies", "paged,ffd")
        assert made.returncode == 0, made.stderr
    done = warpgroup(*shlex.split(line)[1:])
    expected = (1,) if "trace validate" in line else (0,)
    assert done.returncode in (0, *expected), done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("option", ["-V", "--version"])
def test_the_version_is_printed(option):
    from support.command_line import warpgroup as command

    import warpgroup as wg

    assert command(option).stdout.strip() == wg.__version__


def test_the_shell_can_be_asked_to_complete():
    shown = warpgroup("--help").stdout
    assert "--install-completion" in shown


def test_one_policy_and_a_list_of_policies_are_told_apart():
    for command, wrong, right in (("replay", "--policy", "--policies"), ("simulate", "--policies", "--policy")):
        done = warpgroup(command, wrong, "paged")
        assert done.returncode == 2
        assert f"(Possible options: {right}" in " ".join(done.stderr.split())


@pytest.mark.parametrize("command", ["calibrate", "validate"])
def test_a_command_that_needs_a_model_shows_no_default_for_it(command):
    (model,) = (parameter for parameter in ALL[(command,)].params if parameter.name == "model")
    assert "Default" not in model.help


def test_replay_shows_its_own_devices():
    (device,) = (parameter for parameter in ALL[("replay",)].params if parameter.name == "device")
    assert device.help == "auto (default), cuda, cuda:N or cpu."
