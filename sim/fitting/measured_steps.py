"""Measured steps, with what was measured and where: from replays, or kept in a Parquet file."""

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


class About(msgspec.Struct, frozen=True):
    """What was measured, and where."""

    model: ModelSpec
    device: str
    attention: str
    source: str
    versions: dict[str, str]
    row_sizes: list[int]


@dataclass(frozen=True, slots=True)
class MeasuredSteps:
    """Measured steps."""

    steps: Columns
    about: About


def join_steps(found: list[MeasuredSteps]) -> MeasuredSteps:
    """All of them. Raises InvalidProfile: they are not of one model, device and attention backend."""
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
    """Those of a replay. Raises InvalidProfile: a simulation, or a record that does not say enough."""
    run = read_run(folder)
    info = run.info
    if info.kind != "real" or info.machine is None:
        raise InvalidProfile(f"{folder} is a {info.kind} run: only replays have measured steps")
    if info.scenario.inputs is None:
        raise InvalidProfile(f"{folder} is of a version that did not record its model: replay it again")
    return MeasuredSteps(
        run.steps,
        About(
            model=info.scenario.inputs.model,
            device=info.scenario.device,
            attention=info.machine.attention,
            source=f"{len(run.steps['step']):,} steps of {info.policy} on {info.scenario.name}",
            versions=info.versions,
            row_sizes=info.machine.graph_rows,
        ),
    )


def write_steps(path: Path, measured: MeasuredSteps) -> None:
    """Keep what is fitted to. Raises OutputRefused."""
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
    """What `write_steps` kept. Raises InvalidProfile."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
        about = msgspec.json.decode((table.schema.metadata or {})[_ABOUT], type=About)
        geometry_of(about.model)
    except (OSError, pa.ArrowException, KeyError, ValueError, msgspec.MsgspecError):
        raise InvalidProfile(f"{path} does not hold measured steps: expected a file of --save-steps") from None
    for name in table.column_names:
        if not pa.types.is_integer(table[name].type) or table[name].null_count:
            raise InvalidProfile(f"{path}: column {name} does not hold whole numbers alone")
    return MeasuredSteps({name: table[name].to_numpy() for name in table.column_names}, about)
