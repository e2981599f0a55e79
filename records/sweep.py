"""The record of a sweep: the capacity of each policy under an SLO. A sweep is a folder:

    sweep.json     the question, and for each policy its capacity and every rate that was measured
    trials.jsonl   one line per simulation, written as soon as it ends; see `sim.sweep.trials`

Neither file says where or how fast the sweep ran: the same question gives the same bytes, except for the command.
"""

from pathlib import Path

import msgspec

from ..errors import InvalidRun, OutputRefused
from .metrics import Summary
from .run import ScenarioInfo, known_policy
from .upgrade import upgrade_sweep

SCHEMA = 1
FILE = "sweep.json"


class RatePoint(msgspec.Struct, frozen=True):
    """One policy at one rate.

    Attributes:
        rate: requests per second.
        attainment: share of the requests of all seeds that kept the SLO; rejected and failed requests count as
            requests that did not.
        by_seed: the attainment of each seed.
        summary: counts are sums over the seeds, all other figures are means.
    """

    rate: float
    attainment: float
    by_seed: list[float]
    summary: Summary


class PolicySweep(msgspec.Struct, frozen=True):
    """The capacity of one policy, and how it was found.

    Attributes:
        upper_bound: the policy saw true output lengths, which no engine can.
        capacity: the highest rate below the first rate that failed; None if the lowest measured rate failed.
        first_failing: the lowest rate that failed; None if no rate did.
        points: what was measured, by rate.
        notes: how a count was chosen, and where attainment rises with the rate.
    """

    policy: str
    upper_bound: bool
    capacity: float | None
    first_failing: float | None
    points: list[RatePoint]
    notes: list[str]

    @property
    def label(self) -> str:
        """The policy as reports show it."""
        return f"{self.policy} (upper bound)" if self.upper_bound else self.policy

    @property
    def counts_requests(self) -> bool:
        """Whether the policy caps a batch by its number of requests, and so ignores memory."""
        spec = known_policy(self.policy)
        return spec is not None and spec.counts_requests

    @property
    def at_capacity(self) -> RatePoint | None:
        """What was measured at capacity; None if no rate passed."""
        return next((point for point in self.points if point.rate == self.capacity), None)


class Sweep(msgspec.Struct, frozen=True):
    """`sweep.json`.

    Attributes:
        scenario: as in the record of a run; the requests are those of the first seed.
        rates: the grid, in requests per second, ascending.
        attainment: the share of requests that must keep the SLO.
        every_rate: whether every rate of the grid was measured; otherwise bisection chose the rates.
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
    """Write `sweep.json` atomically. Raises OutputRefused if that is impossible."""
    part = folder / f"{FILE}.part"
    try:
        part.write_bytes(msgspec.json.format(msgspec.json.encode(sweep, order="sorted"), indent=1) + b"\n")
        part.replace(folder / FILE)
    except OSError as error:
        raise OutputRefused(f"cannot write {folder / FILE}: {error.strerror}; choose another --out") from None


def read_sweep(folder: Path) -> Sweep:
    """The sweep in a folder.

    Raises InvalidRun: there is no finished sweep, its record is damaged, or this version does not read its schema.
    """
    path = folder / FILE
    try:
        sweep = msgspec.convert(upgrade_sweep(msgspec.json.decode(path.read_bytes())), Sweep)
    except (FileNotFoundError, NotADirectoryError):
        raise InvalidRun(f"{folder} is not a finished sweep: it has no {FILE}; --resume continues it") from None
    except OSError as error:
        raise InvalidRun(f"cannot read {path}: {error.strerror}") from None
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise InvalidRun(f"{path} is not the record of a sweep: {error}; --resume makes it again") from None
    if sweep.schema > SCHEMA:
        raise InvalidRun(f"{path} has schema {sweep.schema}, this version reads up to {SCHEMA}: update warpgroup")
    if sweep.schema < 1:
        raise InvalidRun(f"{path} has schema {sweep.schema}, expected {SCHEMA}: --resume makes it again")
    if not _is_consistent(sweep):
        raise InvalidRun(f"{path} contradicts itself: a policy, rate or seed is missing; --resume makes it again")
    return sweep


def _is_consistent(sweep: Sweep) -> bool:
    """Whether every policy has points on the grid, each with all seeds, and its capacity is one of these points."""
    return bool(sweep.rates and sweep.seeds) and all(
        bool(policy.points)
        and {policy.capacity, policy.first_failing} - {None} <= {point.rate for point in policy.points}
        and all(point.rate in sweep.rates and len(point.by_seed) == len(sweep.seeds) for point in policy.points)
        for policy in sweep.policies
    )
