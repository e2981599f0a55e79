"""Measures the noise of a machine, for `warpgroup gate calibrate`."""

from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

from ... import builds
from ...broken import Broken
from ...builds import WORKING_TREE
from ...gate import Gate
from ...machine import machine_now
from .calibration import Calibration, calibration_file
from .decision import NAME
from .detectable import detectable_slowdowns
from .pairs import benchmarks_of, launch_source, two_installations
from .timed_class import LAUNCH_S, timed_files, timing_rule


def measure_noise(gate: Gate, launches: int, *, on_launch: Callable[[], None]) -> dict[str, float]:
    """Time the working tree against itself, and keep the smallest slow-down that this machine detects.

    Returns it by benchmark, as a share. Raises Broken: the configuration times nothing, or a benchmark fails.
    """
    if NAME not in gate.config.classes:
        raise Broken(f"{gate.path} has no table [timed]: there is nothing to calibrate")
    root, rule, files = gate.root, timing_rule(gate.config), timed_files(gate)
    sides = two_installations(builds.install_package(root, WORKING_TREE, gate.builds))
    names, unread = benchmarks_of(sides[0], files, root=root, timeout_s=LAUNCH_S)
    made = []
    source = launch_source(*sides, files, pairs=rule.pairs, root=root, timeout_s=LAUNCH_S)
    for launch in source(names, launches):
        if broken := unread | {name: str(why) for name, why in launch.broken.items()}:
            raise Broken("; ".join(f"{name}: {why}" for name, why in broken.items()))
        made.append(launch)
        on_launch()
    found = detectable_slowdowns(made, rule)
    today = datetime.now(UTC).date().isoformat()
    calibration = Calibration(today, machine_now(), rule.launches, rule.pairs, found)
    calibration_file(gate).write_bytes(msgspec.json.format(msgspec.json.encode(calibration), indent=1) + b"\n")
    return found
