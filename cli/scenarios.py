"""The commands about scenarios: `scenarios` and `scenarios show`."""

from typing import Annotated

import msgspec
import typer

from ..workloads import load_scenario, scenario_names
from . import terminal
from .experiments import scenario_named
from .help import examples
from .options import JsonOption
from .tables.catalogues import show_scenarios, show_settings

app = typer.Typer(
    help="List the built-in scenarios and what each shows.",
    epilog=examples("warpgroup scenarios", "warpgroup scenarios show chat-24"),
)


@app.callback(invoke_without_command=True)
def scenarios_command(context: typer.Context, json: JsonOption = False) -> None:
    """List the built-in scenarios and what each shows."""
    if context.invoked_subcommand is not None:
        return
    listed = [load_scenario(name) for name in scenario_names()]
    if json:
        terminal.print_json(listed)
    else:
        show_scenarios(listed)


@app.command("show", epilog=examples("warpgroup scenarios show chat-24", "warpgroup scenarios show chat-24 --json"))
def show_command(
    name: Annotated[
        str, typer.Argument(help="A built-in scenario, or a TOML file.", metavar="NAME", show_default=False)
    ],
    json: JsonOption = False,
) -> None:
    """Show all settings of one scenario."""
    scenario = scenario_named(name)
    if json:
        terminal.print_json(scenario)
    else:
        show_settings(msgspec.to_builtins(scenario))
