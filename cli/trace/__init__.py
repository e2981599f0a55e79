"""The commands about requests: `trace inspect | validate | convert | fit | generate`."""

import typer

from ..help import add_command, examples
from . import convert, imitate, inspect

app = typer.Typer(
    help="Read, check, change, imitate and generate traces.",
    epilog=examples("warpgroup trace inspect requests.csv", "warpgroup trace convert requests.csv -o requests.parquet"),
    no_args_is_help=True,
)
add_command(app, "inspect", inspect.inspect_command, inspect.INSPECT_EXAMPLES)
add_command(app, "validate", inspect.validate_trace_command, inspect.VALIDATE_EXAMPLES)
add_command(app, "convert", convert.convert_command, convert.EXAMPLES)
add_command(app, "fit", imitate.fit_command, imitate.FIT_EXAMPLES)
add_command(app, "generate", imitate.generate_command, imitate.GENERATE_EXAMPLES)
