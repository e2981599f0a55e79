"""Measured steps and their source, read from replays or from a Parquet file."""

from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from ...errors import InvalidProfile, OutputRefused
from ...experiment import geometry_of
from ...records import Columns, read_run
from ...workloads import ModelSpec
from .step_fit import COLUMNS

_ABOUT = b"warpgroup"


class StepSource(msgspec.Struct, frozen=True):
    """What was measured, and where.

    Attributes:
        device: the GPU's name.
        attention: the attention backend.
        source: a sentence part that reports show.
        row_sizes: batch sizes of the captured CUDA graphs, ascending.
    """

    model: ModelSpec
    device: str
    attention: str
    source: str
    versions: dict[str, str]
    row_sizes: list[int]


@dataclass(frozen=True, slots=True)
class MeasuredSteps:
    """Measured steps, as columns of `steps.parquet`, and their source."""

    steps: Columns
    about: StepSource


def join_steps(found: list[MeasuredSteps]) -> MeasuredSteps:
    """All measured steps as one.

    Raises:
        InvalidProfile: they have different models, devices or attention backends.
    """
    first = found[0].about
    for each in found:
        for what, mine, firsts in (
            ("models", each.about.model.name, first.model.name),
            ("devices", each.about.device, first.device),
            ("attention backends", each.about.attention, first.attention),
        ):
            if mine != firsts:
                raise InvalidProfile(f"steps of different {what}, {firsts} and {mine}: fit to one at a time")
    names = [name for name in found[0].steps if all(name in each.steps for each in found)]
    about = msgspec.structs.replace(
        first,
        source="; ".join(each.about.source for each in found),
        row_sizes=max((each.about.row_sizes for each in found), key=len),
    )
    return MeasuredSteps({name: np.concatenate([each.steps[name] for each in found]) for name in names}, about)


def steps_of_run(folder: Path) -> MeasuredSteps:
    """The measured steps of a replay.

    Raises:
        InvalidProfile: the run is a simulation, or its record lacks the model.
    """
    run = read_run(folder)
    info = run.info
    if info.kind != "real" or info.machine is None:
        raise InvalidProfile(f"{folder} is a {info.kind} run: only replays have measured steps")
    if info.scenario.inputs is None:
        raise InvalidProfile(f"{folder} was written by a version that did not record the model: replay it again")
    return MeasuredSteps(
        run.steps,
        StepSource(
            model=info.scenario.inputs.model,
            device=info.scenario.device,
            attention=info.machine.attention,
            source=f"{len(run.steps['step']):,} steps of {info.policy} on {info.scenario.name}",
            versions=info.versions,
            row_sizes=info.machine.graph_rows,
        ),
    )


def write_steps(path: Path, measured: MeasuredSteps) -> None:
    """Write the columns that a fit needs, and their source.

    Raises:
        OutputRefused: the file cannot be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({name: measured.steps[name] for name in COLUMNS if name in measured.steps})
    try:
        pq.write_table(
            table.replace_schema_metadata({_ABOUT: msgspec.json.encode(measured.about)}), path, compression="zstd"
        )
    except OSError as error:
        raise OutputRefused(f"cannot write {path}: {error.strerror or error}") from None


def read_steps(path: Path) -> MeasuredSteps:
    """Read a file of `write_steps`.

    Raises:
        InvalidProfile: the file cannot be read, or does not hold measured steps.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
        about = msgspec.json.decode((table.schema.metadata or {})[_ABOUT], type=StepSource)
        geometry_of(about.model)
    except (OSError, pa.ArrowException, KeyError, ValueError, msgspec.MsgspecError):
        raise InvalidProfile(f"{path} does not hold measured steps: expected a file of --save-steps") from None
    for name in table.column_names:
        if not pa.types.is_integer(table[name].type) or table[name].null_count:
            raise InvalidProfile(f"{path}: column {name} holds values that are not whole numbers")
    return MeasuredSteps({name: table[name].to_numpy() for name in table.column_names}, about)
