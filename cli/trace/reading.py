"""How the trace commands read a file: their shared options, and what these mean."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from ...errors import InvalidScenario, quoted
from ...workloads import Trace, columns_given, read_trace
from ..defaults import MOST_SEED
from ..help import option
from ..options import READING

FileArgument = Annotated[
    Path,
    typer.Argument(
        help="A trace file: plain, gzip or zstd. Its format is found from the content. Or a folder of ServeGen's "
        "clients, or a tar of it: the first hour of requests is drawn from them.",
        metavar="FILE",
        show_default=False,
    ),
]
ColumnsOption = Annotated[
    str | None,
    option(
        panel=READING,
        metavar="NAMES",
        help="Read the file as a table (CSV, JSON lines, Parquet) with these columns: "
        "arrival=NAME,prompt=NAME,output=NAME.",
    ),
]
UnitOption = Annotated[
    str | None,
    option(
        "--time-unit",
        panel=READING,
        metavar="UNIT",
        help="The unit of arrivals in such a table: s, ms, us or ns. Default: s; dates need none.",
    ),
]
ZeroOutputsOption = Annotated[
    str,
    option(
        "--zero-outputs",
        panel=READING,
        metavar="HOW",
        help="Requests without output tokens: drop them, or prefill-only: keep them with 1 token.",
        show_default=True,
    ),
]
StrictOption = Annotated[
    bool,
    option("--strict", panel=READING, help="Refuse the file at the first row that would be dropped or repaired."),
]
SeedOption = Annotated[
    int,
    option(
        metavar="N", panel="Randomness", help="The seed of everything that is drawn at random.", min=0, max=MOST_SEED
    ),
]


@dataclass(frozen=True, slots=True)
class Reading:
    """How a file is read; values as given on the command line."""

    max_new_tokens: int | None
    columns: str | None
    time_unit: str | None
    zero_outputs: str = "drop"
    strict: bool = False

    def read(
        self,
        file: Path,
        *,
        prefix: bool = True,
        seed: int = 0,
        start_s: float | None = None,
        end_s: float | None = None,
    ) -> Trace:
        """The trace of a file; its prefix blocks are read only with `prefix`. Raises InvalidTrace, InvalidScenario."""
        named = None if self.columns is None else columns_given(self.columns)
        if self.zero_outputs not in ("drop", "prefill-only"):
            raise InvalidScenario(f"--zero-outputs is {quoted(self.zero_outputs)}, expected drop or prefill-only")
        zeros: Literal["drop", "prefill-only"] = "drop" if self.zero_outputs == "drop" else "prefill-only"
        return read_trace(
            file,
            max_new_tokens=self.max_new_tokens,
            columns=named,
            time_unit=self.time_unit,
            zero_outputs=zeros,
            strict=self.strict,
            prefix=prefix,
            seed=seed,
            start_s=start_s,
            end_s=end_s,
        )
