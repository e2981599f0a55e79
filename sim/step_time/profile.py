"""A calibrated step-time model: fitted values, their source, and their errors; stored as a small JSON file."""

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
    """The cost of each part of a step, in femtoseconds; see `warpgroup.csrc.RooflineStepTime`."""

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
    """Corrections of the rates: knots (at, femtoseconds) with straight lines between them; see `RooflineStepTime`."""

    tokens: list[tuple[int, int]] = []
    prefilled: list[tuple[int, int]] = []
    context: list[tuple[int, int]] = []
    longest: list[tuple[int, int]] = []
    fresh: list[tuple[int, int]] = []
    continued: list[tuple[int, int]] = []
    row_sizes: list[int] = []


class RegionError(msgspec.Struct, frozen=True):
    """The error of a model on steps of one kind that it was not fitted to.

    Attributes:
        steps: number of steps.
        median, p95: quantiles of |predicted / measured - 1|.
        total: sum of the predicted durations over the sum of the measured ones, less 1.
    """

    steps: int
    median: float
    p95: float
    total: float


class Profile(msgspec.Struct, frozen=True):
    """The step times of one model on one machine.

    Attributes:
        attention: the attention backend that was measured; empty if the profile was fitted to another engine's log.
        source: what was measured: the grid, runs or a log.
        error: cross-validated errors by kind of step (of a log: by kind of time); `all` is over all of them.
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
        """The step-time model of this profile."""
        return CalibratedStepTime(self)

    def save(self, path: Path) -> None:
        """Write the profile as indented JSON."""
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
        """Pickle the profile, since the rates are a C++ object."""
        return CalibratedStepTime, (self._profile,)

    def cumulative_fs(self, work: StepWork, steps: int) -> int:
        """See `StepTime`."""
        return self.rates.cumulative_fs(work, steps)


def read_profile(path: Path) -> Profile:
    """Read a profile.

    Raises:
        InvalidProfile: the file cannot be read, or is not a profile of this version.
    """
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
        raise InvalidProfile(f"{path} is not a profile: {reason}; `warpgroup calibrate` makes profiles") from None
    return profile


class _Schema(msgspec.Struct):
    schema: int


def shipped_profiles() -> Iterator[Profile]:
    """The profiles that ship with the package."""
    folder = files(__package__) / "profiles"
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.name.endswith(".json"):
            yield msgspec.json.decode(entry.read_bytes(), type=Profile)


def shipped_profile(model: ModelSpec, device: DeviceSpec) -> Profile | None:
    """The shipped profile of a model on a device; None without one, or if the model differs from the catalogue's."""
    if model.name not in model_names() or load_model(model.name) != model:
        return None
    return next((each for each in shipped_profiles() if (each.model, each.device) == (model.name, device.name)), None)
