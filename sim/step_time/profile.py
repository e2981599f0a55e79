"""A calibrated step-time model: what was fitted, to what, and how far off it is; kept as a small JSON file."""

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import msgspec

from ...csrc import RooflineStepTime, StepWork
from ...errors import InvalidProfile
from ...workloads import DeviceSpec, ModelSpec, load_model, model_names

SCHEMA = 2

Rate = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class Rates(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What each part of a step costs, in femtoseconds; see `warpgroup.csrc.RooflineStepTime`."""

    weights_fs: Rate
    token_fs: Rate
    sample_fs: Rate
    fresh_pair_fs: Rate
    continued_pair_fs: Rate
    chunk_context_fs: Rate
    context_fs: Rate
    swap_fs: Rate
    overhead_fs: Rate
    prefill_fs: Rate
    mixed_fs: Rate


class Corrections(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was measured beyond the rates: (at, femtoseconds), straight lines between these; see there too."""

    tokens: list[tuple[int, int]] = []
    prefilled: list[tuple[int, int]] = []
    context: list[tuple[int, int]] = []
    longest: list[tuple[int, int]] = []
    fresh: list[tuple[int, int]] = []
    continued: list[tuple[int, int]] = []
    row_sizes: list[int] = []


class RegionError(msgspec.Struct, frozen=True):
    """How far off the model is on steps of one kind that it was not fitted to; shares of the measured time.

    `total` is of their durations together, predicted over measured less 1.
    """

    steps: int
    median: float
    p95: float
    total: float


class Profile(msgspec.Struct, frozen=True):
    """One model on one machine.

    Attributes:
        attention: the backend that was measured; empty: that of another engine, by its log.
        source: what was measured: the grid, runs or a log.
        error: by kind of step, or of a log by kind of time, cross-validated; `all` has every one.
    """

    schema: int
    model: str
    device: str
    attention: str
    source: str
    date: str
    command: str
    versions: dict[str, str]
    rates: Rates
    corrections: Corrections
    error: dict[str, RegionError]

    def step_time(self) -> "CalibratedStepTime":
        """What it predicts."""
        return CalibratedStepTime(self)

    def save(self, path: Path) -> None:
        """As indented JSON."""
        path.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n")


class CalibratedStepTime:
    """The roofline model with rates and corrections that were fitted to measured steps."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self.attention = profile.attention
        self.rates = RooflineStepTime(
            **msgspec.structs.asdict(profile.rates), **msgspec.structs.asdict(profile.corrections)
        )
        error, what = profile.error["all"], "a step" if profile.attention else "a time of a request"
        self.description = (
            f"calibrated for {profile.model} on {profile.device} ({profile.date}; {what} is off by "
            f"{error.median:.1%} in the median, {error.p95:.1%} at p95)"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as its profile: the rates are a C++ object."""
        return CalibratedStepTime, (self._profile,)

    def cumulative_fs(self, work: StepWork, steps: int) -> int:
        """See `StepTime`."""
        return self.rates.cumulative_fs(work, steps)


def read_profile(path: Path) -> Profile:
    """Raises InvalidProfile: no file, or not a profile of this version."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InvalidProfile(f"cannot read the profile {path}: {error.strerror}") from None
    try:
        schema = msgspec.json.decode(content, type=_Schema).schema
        if schema != SCHEMA:
            raise InvalidProfile(f"{path} has schema {schema}, this version reads {SCHEMA}: calibrate again")
        profile = msgspec.json.decode(content, type=Profile)
        profile.step_time()
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError, TypeError, KeyError) as error:
        reason = str(error).partition("\n")[0]
        raise InvalidProfile(f"{path} is not a profile: {reason}; `warpgroup calibrate` makes them") from None
    return profile


class _Schema(msgspec.Struct):
    schema: int


def shipped_profiles() -> Iterator[Profile]:
    """Those that come with the package."""
    folder = files(__package__) / "profiles"
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.name.endswith(".json"):
            yield msgspec.json.decode(entry.read_bytes(), type=Profile)


def shipped_profile(model: ModelSpec, device: DeviceSpec) -> Profile | None:
    """That of a model, as it is in the catalogue, on the device of that name, whatever limits it is given."""
    if model.name not in model_names() or load_model(model.name) != model:
        return None
    return next((each for each in shipped_profiles() if (each.model, each.device) == (model.name, device.name)), None)
