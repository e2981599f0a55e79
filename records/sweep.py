"""The record of a sweep: what each policy can take under an SLO. A sweep is a folder:

    sweep.json     what was asked, and for each policy its capacity and all rates that were measured
    trials.jsonl   one line a simulation, written as soon as it ended; see `sim.sweep.trials`

Neither says where or how fast it ran: the same question has the same answer, byte for byte but for the command.
"""

from pathlib import Path

import msgspec

from ..errors import InvalidRun, OutputRefused
from .metrics import Summary
from .run import ScenarioInfo

SCHEMA = 1
FILE = "sweep.json"


class RatePoint(msgspec.Struct, frozen=True):
    """One policy at one rate.

    Attributes:
        rate: requests per second.
        attainment: share of the requests of all seeds that kept the SLO; rejected and failed ones did not.
        by_seed: the same of each seed alone.
        summary: counts added up over the seeds, all else their mean.
    """

    rate: float
    attainment: float
    by_seed: list[float]
    summary: Summary


class PolicySweep(msgspec.Struct, frozen=True):
    """What one policy can take.

    Attributes:
        upper_bound: the policy saw true output lengths: no engine could do this.
        capacity: the highest rate below the first that failed; None: the lowest that was measured failed.
        first_failing: the lowest rate that failed; None: none did.
        points: what was measured, by rate.
        notes: how a count was chosen, and where attainment does not fall with the rate.
    """

    policy: str
    upper_bound: bool
    capacity: float | None
    first_failing: float | None
    points: list[RatePoint]
    notes: list[str]

    @property
    def label(self) -> str:
        """The policy as it is shown."""
        return f"{self.policy} (upper bound)" if self.upper_bound else self.policy

    @property
    def at_capacity(self) -> RatePoint | None:
        """What was measured there."""
        return next((point for point in self.points if point.rate == self.capacity), None)


class Sweep(msgspec.Struct, frozen=True):
    """`sweep.json`.

    Attributes:
        scenario: as in a run's record; the requests are those of the first seed.
        rates: the grid, in requests per second, ascending.
        attainment: the share of requests that have to keep the SLO.
        every_rate: all of the grid was measured; else bisection chose.
    """

    scenario: ScenarioInfo
    rates: list[float]
    seeds: list[int]
    attainment: float
    every_rate: bool
    policies: list[PolicySweep]
    versions: dict[str, str]
    command: str
    schema: int = SCHEMA


def write_sweep(folder: Path, sweep: Sweep) -> None:
    """Whole or not at all. Raises OutputRefused."""
    part = folder / f"{FILE}.part"
    try:
        part.write_bytes(msgspec.json.format(msgspec.json.encode(sweep, order="sorted"), indent=1) + b"\n")
        part.replace(folder / FILE)
    except OSError as error:
        raise OutputRefused(f"cannot write {folder / FILE}: {error.strerror}; choose another --out") from None


def read_sweep(folder: Path) -> Sweep:
    """Raises InvalidRun: no sweep, one that has not come to its end, or of a newer schema."""
    path = folder / FILE
    try:
        sweep = msgspec.json.decode(path.read_bytes(), type=Sweep)
    except (FileNotFoundError, NotADirectoryError):
        raise InvalidRun(f"{folder} is not a finished sweep: it has no {FILE}; --resume continues it") from None
    except OSError as error:
        raise InvalidRun(f"cannot read {path}: {error.strerror}") from None
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise InvalidRun(f"{path} is not the record of a sweep: {error}; --resume makes it again") from None
    if sweep.schema > SCHEMA:
        raise InvalidRun(f"{path} has schema {sweep.schema}, this version reads up to {SCHEMA}: update warpgroup")
    if not _fits_together(sweep):
        raise InvalidRun(f"{path} does not fit together: a policy, rate or seed is missing; --resume makes it again")
    return sweep


def _fits_together(sweep: Sweep) -> bool:
    """Whether of every policy there are points on the grid, each with all seeds, and its capacity is one of them."""
    return bool(sweep.rates and sweep.seeds) and all(
        bool(policy.points)
        and {policy.capacity, policy.first_failing} - {None} <= {point.rate for point in policy.points}
        and all(point.rate in sweep.rates and len(point.by_seed) == len(sweep.seeds) for point in policy.points)
        for policy in sweep.policies
    )
