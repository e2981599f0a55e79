"""Run folders: claim one, write a run atomically, read it back and check it. See `records.run` for the files."""

import os
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from ..csrc import EVENTS, STATUSES, STEP_EVENTS, policy_catalogue
from ..errors import FolderInUse, InvalidRun, InvalidScenario, OutputRefused
from .check import fault_of, fault_of_info
from .run import BLOCKED_BY, SCHEMA, Columns, Run, RunInfo
from .upgrade import upgrade_run

if TYPE_CHECKING:
    import pyarrow as pa

_INFO = "run.json"
_LONGEST_REASON = 300  # characters: an error may quote a damaged file at any length

_CODED: dict[str, dict[str, tuple[str, ...]]] = {
    "requests": {"status": STATUSES},
    "steps": {"blocked_by": BLOCKED_BY, "event": STEP_EVENTS},
    "events": {"event": EVENTS},
}


def claim_folder(folder: Path, *, force: bool = False, resume: bool = False) -> None:
    """Make `folder` ready for output.

    Raises:
        FolderInUse: the folder is not empty, and neither `force` nor `resume` is set.
        OutputRefused: it is a file, or cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        occupied = any(folder.iterdir())
    except OSError as error:
        raise OutputRefused(f"cannot write to {folder}: {error.strerror}; choose another folder") from None
    if occupied and not (force or resume):
        raise FolderInUse(f"{folder} is not empty: choose another folder")
    if not os.access(folder, os.W_OK):
        raise OutputRefused(f"cannot write to {folder}: permission denied; choose another folder")


def fresh_folder() -> Path:
    """The next free numbered folder in warpgroup-runs."""
    base = Path("warpgroup-runs")
    taken = [int(each.name) for each in base.glob("[0-9]*") if each.name.isdigit()]
    return base / f"{max(taken, default=0) + 1:03d}"


def refuse_existing(output: Path, option: str, *, force: bool) -> None:
    """Raises OutputRefused: the file exists and `force` is not set, or its folder is missing."""
    if output.exists() and not force:
        raise OutputRefused(f"{output} exists: choose another {option}, or --force to overwrite it")
    if not output.parent.is_dir():
        raise OutputRefused(f"{output.parent} is not a folder: create it, or choose another {option}")


def write_run(folder: Path, run: Run) -> None:
    """Write all four files and replace what was there. Raises OutputRefused if that is impossible."""
    import pyarrow.parquet as pq

    try:
        with _interrupts_deferred():
            folder.mkdir(parents=True, exist_ok=True)
            _write_json(folder / _INFO, msgspec.structs.replace(run.info, complete=False))
            for name, columns in (("requests", run.requests), ("steps", run.steps), ("events", run.events)):
                part = folder / f"{name}.parquet.part"
                pq.write_table(_table(columns, _CODED[name]), part, compression="zstd", write_page_checksum=True)
                part.replace(folder / f"{name}.parquet")
            if run.info.complete:
                _write_json(folder / _INFO, run.info)
    except OSError as error:
        raise OutputRefused(f"cannot write the run to {folder}: {error.strerror or error}") from None


def remove_run(folder: Path) -> None:
    """Delete the four files, and the folder if it is then empty. Raises OutputRefused if that is impossible."""
    try:
        for name in (_INFO, *(f"{table}.parquet" for table in _CODED)):
            (folder / name).unlink(missing_ok=True)
        if not any(folder.iterdir()):
            folder.rmdir()
    except OSError as error:
        raise OutputRefused(f"cannot delete the run in {folder}: {error.strerror or error}") from None


@contextmanager
def _interrupts_deferred() -> Iterator[None]:
    """Ctrl-C takes effect after the block, because a half-written folder cannot be read. (Python delivers signals to
    the main thread only.)
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    caught: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: caught.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if caught:
        raise KeyboardInterrupt


def read_info(folder: Path) -> RunInfo:
    """`run.json` alone. Raises InvalidRun."""
    path = folder / _INFO
    try:
        info = msgspec.convert(upgrade_run(msgspec.json.decode(path.read_bytes())), RunInfo)
        msgspec.json.encode(info)  # a number can be too large to be written again
    except (FileNotFoundError, NotADirectoryError):
        raise InvalidRun(_no_run(folder)) from None
    except OSError as error:
        raise InvalidRun(f"cannot read {path}: {error.strerror}") from None
    except (msgspec.MsgspecError, UnicodeError, OverflowError, InvalidScenario) as error:
        raise InvalidRun(f"{path} is not a run record: {_reason(error)}; run it again") from None
    if info.schema > SCHEMA:
        raise InvalidRun(f"{path} has schema {info.schema}, this version reads up to {SCHEMA}: update warpgroup")
    if info.schema < 1:
        raise InvalidRun(f"{path} has schema {info.schema}, this version reads 1 to {SCHEMA}: run it again")
    if fault := fault_of_info(info):
        raise InvalidRun(f"{path}: {fault}; run it again, or update warpgroup if a newer one made it")
    return info


def _no_run(folder: Path) -> str:
    """Why the folder is not a run, and which folders in it are."""
    if not folder.exists():
        return f"there is no file or folder {folder}: expected the folder of a run"
    if not folder.is_dir():
        hint = f", here {folder.parent}" if folder.name == _INFO else ""
        return f"{folder} is a file: expected the folder of a run{hint}"
    refuse_stripped(folder)
    inside = ", ".join(str(each.parent) for each in sorted(folder.glob(f"*/{_INFO}")))
    return f"{folder} is not a run: it has no {_INFO}{f'; runs in it: {inside}' if inside else ''}"


def refuse_stripped(folder: Path) -> None:
    """Raises InvalidRun: the folder has tables of a run, complete or partial, but no `run.json`."""
    if (folder / _INFO).exists():
        return
    names = [f"{_INFO}.part", *(f"{table}.parquet{end}" for table in _CODED for end in ("", ".part"))]
    if left := [name for name in names if (folder / name).exists()]:
        raise InvalidRun(f"{folder} has {left[0]}, but no {_INFO}: run it again, or delete it")


def read_run(folder: Path) -> Run:
    """A run with its tables, complete or not.

    Raises InvalidRun: a file cannot be read, or the files do not belong to one run.
    """
    info = read_info(folder)
    run = Run(info, **{name: _read_table(folder / f"{name}.parquet", codes) for name, codes in _CODED.items()})
    if fault := fault_of(run):
        raise InvalidRun(f"{folder}: {fault}; run it again")
    return run


def _read_table(path: Path, codes: Mapping[str, tuple[str, ...]]) -> Columns:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return _columns(pq.read_table(path, page_checksum_verification=True), codes)
    except FileNotFoundError:
        raise InvalidRun(f"{path} is missing; run it again") from None
    except (OSError, pa.ArrowException, LookupError, TypeError, ValueError, OverflowError, MemoryError) as error:
        raise InvalidRun(f"cannot read {path}: {_reason(error)}; run it again") from None


def _reason(error: Exception) -> str:
    """The first line of the error, without its full stop, so that a sentence can go on after it."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:_LONGEST_REASON].rstrip(".")


def run_folders(path: Path) -> list[Path]:
    """The folder itself, or the runs in it, in the order of the policy catalogue.

    Raises InvalidRun: there is no run in the folder, or a run in it has no `run.json`.
    """
    if (path / _INFO).exists() or not path.is_dir():
        return [path]
    refuse_stripped(path)
    for each in sorted(path.iterdir()):
        refuse_stripped(each)
    shown = [info.id for info in policy_catalogue()]
    below = [each.parent for each in sorted(path.glob(f"*/{_INFO}"))]
    below.sort(key=lambda folder: shown.index(read_info(folder).policy_id))
    if not below:
        raise InvalidRun(f"{path} has no run: expected {_INFO} in it, or in a folder below it")
    return below


def _write_json(path: Path, info: RunInfo) -> None:
    part = path.with_suffix(".json.part")
    part.write_bytes(msgspec.json.format(msgspec.json.encode(info, order="sorted"), indent=1) + b"\n")
    part.replace(path)


def _table(columns: Columns, codes: Mapping[str, tuple[str, ...]]) -> "pa.Table":
    import pyarrow as pa

    def arrow(name: str, values: np.ndarray[Any, Any]) -> "pa.Array":
        if name in codes:
            return pa.DictionaryArray.from_arrays(pa.array(values.astype(np.int8)), pa.array(codes[name]))
        return pa.array(values)

    return pa.table({name: arrow(name, values) for name, values in columns.items()})


def _columns(table: "pa.Table", codes: Mapping[str, tuple[str, ...]]) -> Columns:
    columns = {}
    for name in table.column_names:
        values = table[name].to_numpy()
        if name in codes:
            position = {text: i for i, text in enumerate(codes[name])}
            values = np.array([position[text] for text in values], dtype=np.int8)
        columns[name] = values
    return columns
