"""Scenarios: a workload, a model, a device and what they are meant to show, as TOML."""

from importlib.resources import files
from pathlib import Path

import msgspec

from ..errors import InvalidScenario, UnknownName
from .generator import GeneratorSpec


class Scenario(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A scenario file.

    `workload` imitates a public trace, so that nothing has to be fetched; `real_trace` says which file can take its
    place with `--trace`. `kv_budget_tokens` or `vram` replace what the device would leave for the KV cache: one large
    GPU can then stand in for a small one. A request that would wait longer than `max_wait_s` is rejected (0: never).
    `arrivals` is `trace` (the workload's or the file's own), `at-zero`, or a process as `process_named` reads it.
    """

    name: str
    purpose: str
    model: str
    device: str
    workload: GeneratorSpec
    requests: int
    max_new_tokens: int
    control: str = ""
    real_trace: str = ""
    kv_budget_tokens: int = 0
    vram: str = ""
    arrivals: str = "trace"
    rate_scale: float = 1.0
    max_wait_s: float = 0.0
    seed: int = 0
    slo_ttft_s: float = 10.0
    slo_tpot_s: float = 0.1
    policies: tuple[str, ...] = ("count-static", "count-continuous", "paged", "ffd")


def _built_in() -> dict[str, str]:
    folder = files(__package__) / "scenarios"
    return {
        entry.name.removesuffix(".toml"): entry.read_text()
        for entry in folder.iterdir()
        if entry.name.endswith(".toml")
    }


def scenario_names() -> list[str]:
    """Every built-in scenario."""
    return sorted(_built_in())


def load_scenario(name_or_path: str) -> Scenario:
    """A built-in scenario by name, or a file.

    Raises:
        UnknownName: neither a built-in name nor a path.
        InvalidScenario: the file cannot be read, or a key in it is wrong (the message names file and key).
    """
    built_in = _built_in()
    if name_or_path in built_in:
        return _decode(built_in[name_or_path], name_or_path)
    path = Path(name_or_path)
    if path.suffix != ".toml" and not path.exists():
        raise UnknownName("scenario", name_or_path, built_in)
    try:
        return _decode(path.read_text(), name_or_path)
    except OSError as error:
        raise InvalidScenario(f"cannot read scenario {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InvalidScenario(f"scenario {path} is not a text file") from None


def _decode(text: str, source: str) -> Scenario:
    try:
        scenario = msgspec.toml.decode(text, type=Scenario)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$.")
        raise InvalidScenario(f"scenario {source}: {where.rstrip('`') or 'top level'}: {what}") from None
    except msgspec.DecodeError as error:
        raise InvalidScenario(f"scenario {source} is not TOML: {error}") from None
    for key in ("requests", "max_new_tokens", "rate_scale", "slo_ttft_s", "slo_tpot_s"):
        if not getattr(scenario, key) > 0:
            raise InvalidScenario(f"scenario {source}: {key}: is {getattr(scenario, key):g}, expected more than 0")
    return scenario
