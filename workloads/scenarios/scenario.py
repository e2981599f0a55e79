"""Scenarios: a workload, a model, a device and what they are meant to show, as TOML."""

import math
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec

from ...errors import InvalidScenario, UnknownName, WarpGroupError
from ..models.arrivals import check_arrivals, process_named
from ..models.generator import GeneratorSpec
from ..models.workload_model import built_in_workloads
from ..quantities import parse_bytes
from ..specs.model_folder import model_named
from ..specs.specs import load_device


class Scenario(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A scenario file.

    `workload` imitates a public trace, so that nothing has to be fetched; `real_trace` says which file can take its
    place with `--trace`. `kv_budget_tokens` or `vram` replace what the device would leave for the KV cache: one large
    GPU can then stand in for a small one. A request that would wait longer than `max_wait_s` is rejected (0: never).
    `arrivals` is what `with_arrivals` takes: `trace` (the workload's or the file's own), `at-zero`, users or a process.
    `control` is the scenario to compare with: a built-in one, or a file, relative to this one.
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
    folder = files(__package__)
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
    _check(scenario, source)
    return scenario


def _check(scenario: Scenario, source: str) -> None:
    """Refuse what could not be run. Policies are not known here: `experiment_from` reads them."""
    _apply({**_CHECKS, "control": _control_beside(Path(source))}, scenario, f"scenario {source}: ")
    _apply(_WORKLOAD_CHECKS, scenario.workload, f"scenario {source}: workload.")
    components = scenario.workload.components
    for index, component in enumerate(components):
        _apply(_COMPONENT_CHECKS, component, f"scenario {source}: workload.components[{index}].")
    alone = [part.mixture for part in components if built_in_workloads()[part.mixture].sessions]
    for key, wrong, what in (
        (
            "workload.components",
            alone and len(components) > 1,
            f"{', '.join(alone)} has sessions, which cannot be mixed: expected it alone",
        ),
        ("vram", scenario.vram and scenario.kv_budget_tokens, "contradicts kv_budget_tokens, expected one of them"),
        (
            "rate_scale",
            scenario.rate_scale != 1 and scenario.arrivals.startswith("users"),
            f"is {scenario.rate_scale:g}, expected 1: users come when they are answered",
        ),
    ):
        if wrong:
            raise InvalidScenario(f"scenario {source}: {key}: {what}")


def _apply(checks: dict[str, Callable[[Any], object]], struct: msgspec.Struct, where: str) -> None:
    for key, check in checks.items():
        try:
            check(getattr(struct, key))
        except (WarpGroupError, OSError, ValueError) as error:
            raise InvalidScenario(" ".join(f"{where}{key}: {error}".splitlines())) from None


def _control_beside(path: Path) -> Callable[[str], None]:
    def check(control: str) -> None:
        if control and control not in _built_in() and not (path.parent / control).is_file():
            raise InvalidScenario(f"no such file, and {UnknownName('scenario', control, _built_in())}")

    return check


def _positive(value: float) -> None:
    if not 0 < value < math.inf:
        raise InvalidScenario(f"is {value}, expected a positive number")


def _not_negative(value: float) -> None:
    if not 0 <= value < math.inf:
        raise InvalidScenario(f"is {value}, expected a number of 0 or more")


def _whole(least: int) -> Callable[[int], None]:
    def check(value: int) -> None:
        if not least <= value < 2**53:
            raise InvalidScenario(f"is {value}, expected {least} to below 2^53")

    return check


def _filled(value: Sequence[object]) -> None:
    if not value:
        raise InvalidScenario("is empty, expected at least one")


def _text(value: str) -> None:
    if not value.strip():
        raise InvalidScenario("is empty, expected text")


def _mixture(name: str) -> None:
    if name not in built_in_workloads():
        raise UnknownName("mixture", name, built_in_workloads())


def _named_policies(policies: tuple[str, ...]) -> None:
    _filled(policies)
    for policy in policies:
        _text(policy)


_CHECKS: dict[str, Callable[[Any], object]] = {
    "name": _text,
    "model": model_named,
    "device": load_device,
    "requests": _whole(1),
    "max_new_tokens": _whole(1),
    "kv_budget_tokens": _whole(0),
    "vram": lambda size: size and parse_bytes(size),
    "arrivals": check_arrivals,
    "rate_scale": _positive,
    "max_wait_s": _not_negative,
    "seed": _whole(0),
    "slo_ttft_s": _positive,
    "slo_tpot_s": _positive,
    "policies": _named_policies,
}
_WORKLOAD_CHECKS: dict[str, Callable[[Any], object]] = {
    "components": _filled,
    "arrivals": lambda spec: spec and process_named(spec),
}
_COMPONENT_CHECKS: dict[str, Callable[[Any], object]] = {
    "mixture": _mixture,
    "share": _positive,
    "max_prompt_tokens": _whole(0),
}
