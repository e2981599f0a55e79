"""Measures how often the gate is wrong on a GPU: a package against itself, and a copy that does 5 % more. Needs a GPU.

    pip install --target DIR . && python tests/benchmarks/gpu_gate.py --site DIR --out FILE.json

Gates of both kinds take turns, by the rule of perf-gate-gpu.toml, until the time is up. Their samples go to
FILE.samples.json. Exit code 1: a gate was wrong. A launch takes 5 to 6 s on an H200, mostly for the start of torch: six
gates take five minutes.
"""

import argparse
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import torch
import triton

from warpgroup.reports.gate.classes.timed.decision import decide
from warpgroup.reports.gate.classes.timed.pairs import Launch, Side, benchmarks_of, launch_source
from warpgroup.reports.gate.classes.timed.timed_class import LAUNCH_S, timing_rule
from warpgroup.reports.gate.config_file import read_config
from warpgroup.reports.gate.result import Check, Outcome

CONFIG = Path(__file__).with_name("perf-gate-gpu.toml")
ROOT = Path(__file__).parents[2]

SLOWED = "test_decode_attention"
TWICE = """

_attend, _calls = PagedAttention._tiled, 0


def _every_20th_call_twice(*given):
    global _calls
    _calls += 1
    for _ in range(1 + (_calls % 20 == 0)):
        _attend(*given)


PagedAttention._tiled = _every_20th_call_twice
"""
"""Appended to the paged attention of a package. A benchmark's graph calls it 20 times; now one call is made twice."""


def slower_copy(site: Path, to: Path) -> Path:
    shutil.copytree(site, to)
    with (to / "warpgroup" / "runtime" / "attention" / "paged.py").open("a") as file:
        file.write(TWICE)
    return to


def in_turn(same: int, slower: int) -> list[str]:
    """The kinds of all gates in order, both spread evenly."""
    places = [((i + 0.5) / count, kind) for kind, count in (("same", same), ("slower", slower)) for i in range(count)]
    return [kind for _, kind in sorted(places)]


class Gates:
    """Gates of the benchmarks of perf-gate-gpu.toml."""

    def __init__(self, site: Path, slow: Path) -> None:
        self.config = read_config(CONFIG)
        self.files = [CONFIG.parent / name for name in self.config.classes["timed"].files]
        self.base = Side("base", site)
        self.heads = {"same": Side("head", site), "slower": Side("head", slow)}
        names, unread = benchmarks_of(self.base, self.files, root=ROOT, timeout_s=LAUNCH_S)
        assert not unread, unread
        self.names = {"same": names, "slower": [name for name in names if SLOWED in name]}

    def decide(self, kind: str) -> tuple[list[Check], list[Launch]]:
        """The checks of one gate, and its launches."""
        rule, made = timing_rule(self.config), []
        source = launch_source(self.base, self.heads[kind], self.files, pairs=rule.pairs, root=ROOT, timeout_s=LAUNCH_S)

        def kept(names: Sequence[str], count: int) -> Iterator[Launch]:
            for launch in source(names, count):
                made.append(launch)
                yield launch

        return decide(kept, self.names[kind], rule, budget_s=self.config.budget_s), made


def is_wrong(kind: str, checks: Sequence[Check]) -> bool:
    found = {check.outcome for check in checks}
    return found != {Outcome.REGRESSED} if kind == "slower" else bool(found & {Outcome.REGRESSED, Outcome.BROKEN})


def in_words(check: Check) -> str:
    found = check.detail if check.change is None else f"{check.change:+.2%} of {check.base * 1e6:.1f} us"
    return f"{check.name.partition('::')[2]} {check.outcome}: {found}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--site", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--same", type=int, default=4, help="gates of the package against itself")
    parser.add_argument("--slower", type=int, default=2, help="gates against the slower copy")
    parser.add_argument("--seconds", type=float, default=1e9, help="no gate starts after this time")
    given = parser.parse_args()
    if not torch.cuda.is_available():
        parser.error("torch can use no GPU here")
    began, done, samples = time.monotonic(), [], []
    result = {
        "device": torch.cuda.get_device_name(),
        "versions": {
            "torch": str(torch.__version__),
            "triton": triton.__version__,
            "python": platform.python_version(),
        },
        "gates": done,
    }
    with tempfile.TemporaryDirectory() as folder:
        gates = Gates(given.site, slower_copy(given.site, Path(folder, "site")))
        for kind in in_turn(given.same, given.slower):
            gate_began = time.monotonic()
            if gate_began - began > given.seconds:
                break
            checks, made = gates.decide(kind)
            seconds, wrong = round(time.monotonic() - gate_began, 1), is_wrong(kind, checks)
            done.append({"head": kind, "wrong": wrong, "seconds": seconds, "launches": len(made), "checks": checks})
            samples.append({"head": kind, "launches": [launch.samples for launch in made]})
            print(f"{kind}, {seconds} s, {len(made)} launches: {'; '.join(map(in_words, checks))}", flush=True)
            given.out.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=1) + b"\n")
            given.out.with_suffix(".samples.json").write_bytes(msgspec.json.encode(samples))
    sys.exit(any(each["wrong"] for each in done))


if __name__ == "__main__":
    main()
