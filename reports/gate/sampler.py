"""The side that is measured: runs benchmarks under pytest, and takes a sample whenever it is told to.

    python -P sampler.py DESCRIPTOR DESCRIPTOR SITE FILE...     (started by pairs.py, never by hand)

It stands alone, as a script: it imports nothing of the package, which is what is measured and may be older than the
gate, and both sides run this one file. Commands are read from the first descriptor and answered on the second, a JSON
object a line each, so that whatever pytest and the benchmarks print is not in the way.
"""

import gc
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

Take = Callable[[int], tuple[float, Any]]
"""From a number of calls to the seconds of them all, by the benchmark's clock, and what the last one returned."""


@dataclass(frozen=True, slots=True)
class Clock:
    """Measures calls.

    Attributes:
        start: before them; what it returns is what `stop` is given.
        stop: after them; the seconds in between.
        settle: wait until nothing that was begun is still under way.
    """

    start: Callable[[], Any]
    stop: Callable[[Any], float]
    settle: Callable[[], None]


def cpu_clock(read: Callable[[], float]) -> Clock:
    """CPU time, as one of Python's clocks reads it."""
    return Clock(read, lambda began: read() - began, lambda: None)


def cuda_clock() -> Clock:
    """Time on the GPU: between two events on the current stream, one before the calls and one after them."""
    try:
        import torch
    except (ImportError, OSError) as error:  # OSError: it is there, and a library that it loads is not
        pytest.fail(f'gate_clock("cuda") needs torch, which cannot be imported: {error}; install it', pytrace=False)
    if not torch.cuda.is_available():
        pytest.fail(
            f'gate_clock("cuda") needs a GPU, and torch {torch.__version__} can use none here: run this gate where '
            "there is one, or leave the file out of [timed]",
            pytrace=False,
        )

    def start() -> Any:
        torch.cuda.synchronize()  # what a setup has queued is not of the calls
        began = torch.cuda.Event(enable_timing=True)
        began.record()
        return began

    def stop(began: Any) -> float:
        ended = torch.cuda.Event(enable_timing=True)
        ended.record()
        torch.cuda.synchronize()
        return float(began.elapsed_time(ended)) / 1e3

    return Clock(start, stop, torch.cuda.synchronize)


CLOCKS: dict[str, Callable[[], Clock]] = {
    "thread": lambda: cpu_clock(time.thread_time),
    "process": lambda: cpu_clock(time.process_time),
    "cuda": cuda_clock,
}


class Wire:
    """To the process that decides."""

    def __init__(self, reading: int, writing: int) -> None:
        self._commands = os.fdopen(reading, "r")
        self._answers = os.fdopen(writing, "w")

    def tell(self, **answer: object) -> None:
        """Answer, at once."""
        self._answers.write(json.dumps(answer) + "\n")
        self._answers.flush()

    def hear(self) -> Any:
        """Wait for a command. Without anyone to give one the process ends."""
        line = self._commands.readline()
        if not line:
            os._exit(1)
        return json.loads(line)


class Benchmark:
    """pytest-benchmark's fixture, except that when and how often it measures is decided elsewhere."""

    def __init__(self, name: str, clock: Clock, wire: Wire) -> None:
        self.name = name
        self.group: str | None = None
        self.extra_info: dict[str, object] = {}
        self.stats = None
        self.called = False
        self._clock = clock
        self._wire = wire

    def __call__(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Measure calls of a function. Returns what the last one returned."""

        def take(calls: int) -> tuple[float, Any]:
            result, times = None, range(calls)
            began = self._clock.start()
            for _ in times:
                result = function(*args, **kwargs)
            return self._clock.stop(began), result

        return self._serve(take)

    def pedantic(
        self,
        target: Callable[..., Any],
        args: Any = (),
        kwargs: dict[str, Any] | None = None,
        setup: Callable[[], Any] | None = None,
        teardown: Callable[..., Any] | None = None,
        rounds: int = 1,
        warmup_rounds: int = 0,
        iterations: int = 1,
    ) -> Any:
        """The same with a setup, and a teardown, outside of the clock. How many rounds there are is not its choice."""
        if setup is None and teardown is None:
            return self(target, *args, **(kwargs or {}))

        def take(calls: int) -> tuple[float, Any]:
            spent, result = 0.0, None
            for _ in range(calls):
                given = (setup() if setup else None) or (args, kwargs or {})
                began = self._clock.start()
                result = target(*given[0], **given[1])
                spent += self._clock.stop(began)
                if teardown:
                    teardown(*given[0], **given[1])
            return spent, result

        return self._serve(take)

    def _serve(self, take: Take) -> Any:
        if self.called:
            raise RuntimeError("benchmark was called twice in one test")
        self.called = True
        self._clock.settle()
        self._wire.tell(event="ready", name=self.name)
        result = None
        while calls := self._wire.hear()["calls"]:
            began = time.perf_counter()
            gc.disable()  # when it comes is chance; it comes between samples instead
            try:
                spent, result = take(calls)
            finally:
                gc.enable()
            self._clock.settle()  # the other side has its turn: it must find the GPU idle
            self._wire.tell(event="sample", spent_s=spent, elapsed_s=time.perf_counter() - began)
        return result


class Sampler:
    """The plugin: tells what there is, is told what to run, and reports how each test ended."""

    def __init__(self, wire: Wire, site: Path) -> None:
        self._wire = wire
        self._site = site
        self._provided = [*provided(site)]
        self._unread: dict[str, str] = {}
        self._problem = ""
        self._asked: Benchmark | None = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_load_initial_conftests(self, parser: pytest.Parser, args: list[str]) -> None:
        """Take pytest-benchmark's options, which a project's configuration may have: they mean nothing here."""
        for option in {argument.partition("=")[0] for argument in args if argument.startswith("--benchmark-")}:
            with suppress(ValueError):  # the project's own plugin has it
                parser.addoption(option, nargs="?")

    def pytest_configure(self, config: pytest.Config) -> None:
        """Markers that benchmarks may carry."""
        config.addinivalue_line("markers", "benchmark: pytest-benchmark's own; only that it exists matters here")
        config.addinivalue_line("markers", f"gate_clock(name): what is counted, one of {', '.join(CLOCKS)}")

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Keep why a file could not be read."""
        if report.failed:
            self._unread[Path(report.nodeid.partition("::")[0]).name] = _last_line(report.longreprtext)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Tell what there is, hear what to run."""
        found = [item for item in items if "benchmark" in getattr(item, "fixturenames", ())]
        benchmarks = {name_of(item): item for item in found}
        if len(benchmarks) < len(found):
            raise pytest.UsageError("two benchmark files have the same name: rename one of them")
        clocks = {name: clock_of(item) for name, item in benchmarks.items()}
        self._wire.tell(event="collected", clocks=clocks, unread=self._unread, strays=self._strays())
        items[:] = [benchmarks[name] for name in self._wire.hear()["run"]]

    @pytest.fixture
    def benchmark(self, request: pytest.FixtureRequest) -> Benchmark:
        """Of one test."""
        clock = clock_of(request.node)
        if clock not in CLOCKS:
            pytest.fail(f'there is no gate_clock("{clock}"): choose one of {", ".join(CLOCKS)}', pytrace=False)
        self._asked = Benchmark(name_of(request.node), CLOCKS[clock](), self._wire)
        return self._asked

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the first thing that went wrong in a test."""
        if report.passed or self._problem:
            return
        why = report.longrepr[2] if isinstance(report.longrepr, tuple) else _last_line(_crash(report))
        self._problem = f"{report.outcome} in {report.when}: {why}"

    def pytest_runtest_logfinish(self) -> None:
        """A test is over, and taken down."""
        if not self._problem and not (self._asked and self._asked.called):
            self._problem = "asks for the benchmark fixture and never calls it"
        for package, where in self._strays().items():
            self._problem = self._problem or f"{package} was imported from {where}, not from its own site"
        self._wire.tell(event="done", problem=self._problem)
        self._problem, self._asked = "", None

    def _strays(self) -> dict[str, str]:
        """What the site has and was imported from elsewhere, and from where: that would be measured."""
        files = {name: getattr(sys.modules.get(name), "__file__", None) for name in self._provided}
        return {name: where for name, where in files.items() if where and not Path(where).is_relative_to(self._site)}


def name_of(item: Any) -> str:
    """A benchmark's name: file and test, without folders."""
    return f"{item.path.name}::{item.nodeid.partition('::')[2]}"


def clock_of(item: Any) -> str:
    """What its marker asks for, however it is written."""
    marker = item.get_closest_marker("gate_clock")
    return ", ".join(map(str, (*marker.args, *marker.kwargs.values()))) if marker else "thread"


def provided(folder: Path, within: str = "") -> Iterator[str]:
    """Names of packages and modules that are imported from a folder; of namespace packages, what is in them too."""
    for entry in folder.iterdir():
        name = within + entry.name.partition(".")[0]
        if (entry / "__init__.py").exists() or entry.suffix in (".py", ".so"):
            yield name
        elif entry.is_dir() and entry.name.isidentifier():
            inside = [*provided(entry, f"{name}.")]
            yield from [name, *inside] if inside else []


def _crash(report: pytest.TestReport) -> str:
    crash = getattr(report.longrepr, "reprcrash", None)
    return str(crash.message).removeprefix("Failed: ").strip().partition("\n")[0] if crash else report.longreprtext


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1].removeprefix("E").strip() if lines else "no message"


def main(arguments: list[str]) -> int:
    """Run the benchmarks of some files as told."""
    reading, writing, site, *files = arguments
    # Most of a launch is its start: no plugin that is not asked for, no cache.
    options = ["-q", "-p", "no:cacheprovider", "--continue-on-collection-errors", "--tb=short"]
    return pytest.main([*options, *files], plugins=[Sampler(Wire(int(reading), int(writing)), Path(site))])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
