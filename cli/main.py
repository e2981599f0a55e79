"""The `warpgroup` command. Tables go to stdout; progress, notes and errors to stderr.

Exit codes: 0 done, 1 failed, 2 wrong usage or input, 130 interrupted. `gate` has codes of its own.
"""

import sys
from concurrent.futures.process import BrokenProcessPool
from importlib import metadata
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from ..errors import Interrupted, WarpGroupError
from . import calibrate, compare, gate, listings, replay, report, scenarios, simulate, sweep, terminal, trace, validate
from .help import add_command, examples

EXAMPLES = examples("warpgroup compare --scenario chat-24", "warpgroup trace inspect requests.csv")


class _InterruptibleGroup(TyperGroup):
    """Turns Ctrl-C in any command into `Interrupted`: typer would end without a word."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Interrupted from None


app = typer.Typer(
    cls=_InterruptibleGroup,
    help="Which batching policy should serve these requests on this GPU, and what will it give?",
    epilog=EXAMPLES,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
add_command(app, "compare", compare.compare_command, compare.EXAMPLES)
add_command(app, "simulate", simulate.simulate_command, simulate.EXAMPLES)
add_command(app, "sweep", sweep.sweep_command, sweep.EXAMPLES)
add_command(app, "replay", replay.replay_command, replay.EXAMPLES)
add_command(app, "report", report.report_command, report.EXAMPLES)
add_command(app, "calibrate", calibrate.calibrate_command, calibrate.EXAMPLES)
add_command(app, "validate", validate.validate_command, validate.EXAMPLES)
add_command(app, "policies", listings.policies_command, listings.POLICIES_EXAMPLES)
add_command(app, "models", listings.models_command, listings.MODELS_EXAMPLES)
add_command(app, "devices", listings.devices_command, listings.DEVICES_EXAMPLES)
app.add_typer(trace.app, name="trace")
app.add_typer(scenarios.app, name="scenarios")
app.add_typer(gate.app, name="gate")


def _show_version(wanted: bool) -> None:
    if wanted:
        print(metadata.version("warpgroup"))
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", "-V", callback=_show_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    pass


def run_command_line() -> NoReturn:
    """Run the command line. A fault of the input ends in one line and exit code 2."""
    try:
        app(prog_name="warpgroup")
    except WarpGroupError as error:
        terminal.error(str(error))
        sys.exit(2)
    except Interrupted as interrupted:
        terminal.error(str(interrupted) or "interrupted")
        sys.exit(130)
    except BrokenProcessPool:
        terminal.error("a simulation process was killed, perhaps because memory ran out; --resume continues")
        sys.exit(1)
    sys.exit(0)
