"""Small benchmarks in two real processes."""

from pathlib import Path

from warpgroup.reports.gate.classes.timed.pairs import Launch, Side, launch

WORK = """
import time

def work(seconds={seconds}):
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass
"""


class Bench:
    """A benchmark file in a folder, and a package `thing` for each side."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sides = [self.side("base"), self.side("head")]

    def side(self, name: str, seconds: float = 0.0005, extra: str = "") -> Side:
        package = self.folder / name / "thing"
        package.mkdir(parents=True, exist_ok=True)
        (package / "__init__.py").write_text(WORK.format(seconds=seconds) + extra)
        return Side(name, self.folder / name)

    def write(self, text: str) -> Path:
        file = self.folder / "bench_it.py"
        file.write_text(f"import os, sys, threading, time\nimport pytest\nfrom thing import work\n{text}")
        return file

    def launch(self, text: str, *names: str, pairs: int = 2, timeout_s: float = 60) -> Launch:
        only = [f"bench_it.py::{name}" for name in names] or None
        file = self.write(text)
        return launch(*self.sides, [file], only=only, pairs=pairs, root=self.folder, timeout_s=timeout_s)

    def broken(self, text: str, *names: str, timeout_s: float = 60) -> dict[str, str]:
        found = self.launch(text, *names, timeout_s=timeout_s).broken
        return {name.removeprefix("bench_it.py::"): str(why) for name, why in found.items()}


ON_HEAD = 'HEAD = "head" in sys.modules["thing"].__file__\n'
TWO = "def test_a(benchmark):\n    benchmark(work)\n\ndef test_b(benchmark):\n    benchmark(work, 0.001)\n"
