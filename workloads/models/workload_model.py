"""A workload in a few numbers: lengths or sessions, and arrivals. `workloads.json` has the built-in ones."""

from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from ...errors import InvalidScenario, UnknownName
from ..decoding import decode_struct
from .arrival_processes import Process
from .length_mixture import LengthMixture
from .session_model import SessionModel

Tokens = Annotated[int, Meta(ge=1, le=2**40)]


class WorkloadModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is needed to imitate a trace: a mixture if requests are independent, else sessions.

    Attributes:
        clip: the longest prompt and the longest output of the trace, in tokens; larger draws are clipped to them.
        max_new_tokens: the most that any request may generate.
        arrivals: of requests, or of sessions; None where the trace has no times.
        ks: Kolmogorov-Smirnov distances to the trace, of lengths and of the parts of sessions, where measured.
        source: the trace, and where its figures come from.
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
            raise InvalidScenario("expected a mixture or sessions, and not both")


@cache
def built_in_workloads() -> dict[str, WorkloadModel]:
    """The built-in models by name."""
    text = (files(__package__) / "workloads.json").read_bytes()
    return {model.name: model for model in msgspec.json.decode(text, type=list[WorkloadModel])}


def workload_names() -> list[str]:
    """The names of all built-in models."""
    return list(built_in_workloads())


def load_workload(name_or_path: str) -> WorkloadModel:
    """A built-in model by name, or one from a JSON or TOML file.

    Raises:
        UnknownName: it is neither a built-in name nor a file.
        InvalidScenario: the file cannot be read, or a key in it is wrong (the message names file and key).
    """
    if name_or_path in built_in_workloads():
        return built_in_workloads()[name_or_path]
    path = Path(name_or_path)
    if path.suffix not in (".json", ".toml") and not path.exists():
        raise UnknownName("workload", name_or_path, built_in_workloads())
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InvalidScenario(f"cannot read workload {path}: {error.strerror}") from None
    return decode_struct(data, WorkloadModel, toml=path.suffix == ".toml", what=f"workload {path}")


def encode_workload(model: WorkloadModel) -> bytes:
    """The model as a JSON file that `load_workload` reads."""
    return msgspec.json.format(msgspec.json.encode(model), indent=1) + b"\n"
