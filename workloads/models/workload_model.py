"""A workload in a few numbers: lengths or sessions, arrivals. The built-in ones are in `data/workloads.json`."""

from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from ...errors import InvalidScenario, UnknownName
from .arrival_processes import Process
from .length_mixture import LengthMixture
from .session_model import SessionModel

Tokens = Annotated[int, Meta(ge=1, le=2**40)]


class WorkloadModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is needed to imitate a trace: of requests that have nothing to do with each other a mixture, else sessions.

    Attributes:
        clip: the longest prompt and the longest output of the trace; what is drawn beyond is cut to them.
        max_new_tokens: what every request may generate at most.
        arrivals: of requests, or of sessions; None where the trace has no times.
        ks: Kolmogorov distances to the trace, of lengths and of the parts of sessions, where they could be measured.
        source: the trace, and who took its measure.
        notes: what the model does not imitate.
    """

    name: str
    clip: tuple[Tokens, Tokens]
    max_new_tokens: Tokens
    mixture: LengthMixture | None = None
    sessions: SessionModel | None = None
    arrivals: Process | None = None
    ks: dict[str, float] = {}
    source: str = ""
    notes: str = ""

    def __post_init__(self) -> None:
        if (self.mixture is None) == (self.sessions is None):
            raise InvalidScenario("expected either a mixture or sessions")


@cache
def built_in_workloads() -> dict[str, WorkloadModel]:
    """The models that ship, by name."""
    text = (files(__package__) / "workloads.json").read_bytes()
    return {model.name: model for model in msgspec.json.decode(text, type=list[WorkloadModel])}


def workload_names() -> list[str]:
    """Every built-in model."""
    return list(built_in_workloads())


def load_workload(name_or_path: str) -> WorkloadModel:
    """A built-in model by name, or a file of one, JSON or TOML.

    Raises:
        UnknownName: neither a built-in name nor a path.
        InvalidScenario: the file cannot be read, or a key in it is wrong (the message names file and key).
    """
    if name_or_path in built_in_workloads():
        return built_in_workloads()[name_or_path]
    path = Path(name_or_path)
    if path.suffix not in (".json", ".toml") and not path.exists():
        raise UnknownName("workload", name_or_path, built_in_workloads())
    try:
        data = path.read_bytes()
        decode = msgspec.toml.decode if path.suffix == ".toml" else msgspec.json.decode
        return decode(data, type=WorkloadModel)
    except OSError as error:
        raise InvalidScenario(f"cannot read workload {path}: {error.strerror}") from None
    except InvalidScenario as error:
        raise InvalidScenario(f"workload {path}: {error}") from None
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$.")
        raise InvalidScenario(f"workload {path}: {where.rstrip('`') or 'top level'}: {what}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidScenario(f"workload {path} is neither JSON nor TOML: {error}") from None


def encode_workload(model: WorkloadModel) -> bytes:
    """The model as a JSON file, which `load_workload` reads."""
    return msgspec.json.format(msgspec.json.encode(model), indent=1) + b"\n"
