"""Scenarios: a workload, a model, a device and what they are meant to show, read from TOML."""

import math
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec

from ...errors import InvalidScenario, UnknownName, WarpGroupError
from ..decoding import decode_struct
from ..models import GeneratorSpec, built_in_workloads, check_arrivals, have_users, process_named
from ..quantities import parse_bytes
from ..specs import load_device, model_named


class Scenario(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A scenario file.

    Attributes:
        workload: imitates a public trace, so that no file is needed.
        real_trace: the file that can take the place of the workload with `--trace`.
        kv_budget_tokens, vram: at most one; it replaces the device's own memory limit, so that a large GPU can stand in
            for a small one. 0 or empty: the device's own.
        max_wait_s: a request that would wait longer is rejected; 0: no request is.
        arrivals: what `with_arrivals` accepts: `trace` (of the workload or the file), `at-zero`, users or a process.
        control: the scenario to compare with: a built-in one, or a file relative to this one.
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


def _built_in() -> dict[str, bytes]:
    folder = files(__package__)
    return {
        entry.name.removesuffix(".toml"): entry.read_bytes()
        for entry in folder.iterdir()
        if entry.name.endswith(".toml")
    }


def scenario_names() -> list[str]:
    """The names of all built-in scenarios."""
    return sorted(_built_in())


def load_scenario(name_or_path: str) -> Scenario:
    """A built-in scenario by name, or one from a file.

    Raises:
        UnknownName: it is neither a built-in name nor a file.
        InvalidScenario: the file cannot be read, or a key in it is wrong (the message names file and key).
    """
    built_in = _built_in()
    if name_or_path in built_in:
        return _decode(built_in[name_or_path], name_or_path)
    path = Path(name_or_path)
    if path.suffix != ".toml" and not path.exists():
        raise UnknownName("scenario", name_or_path, built_in)
    try:
        text = path.read_bytes()
    except OSError as error:
        raise InvalidScenario(f"cannot read scenario {path}: {error.strerror}") from None
    return _decode(text, name_or_path)


def _decode(text: bytes, source: str) -> Scenario:
    scenario = decode_struct(text, Scenario, toml=True, what=f"scenario {source}")
    _check(scenario, source)
    return scenario


def _check(scenario: Scenario, source: str) -> None:
    """Refuse settings that cannot be run. The policies are checked where they are read, in `experiment_from`."""
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
        (
            "vram",
            scenario.vram and scenario.kv_budget_tokens,
            "contradicts kv_budget_tokens, expected only one of them",
        ),
        (
            "rate_scale",
            scenario.rate_scale != 1 and have_users(scenario.arrivals),
            f"is {scenario.rate_scale:g}, expected 1: users send their next request after an answer, at no rate",
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
            raise InvalidScenario(f"is {value}, expected {least} or more, below 2^53")

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
