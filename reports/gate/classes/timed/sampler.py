"""Runs in the measured process: runs benchmarks under pytest, and takes a sample whenever it is told to.

    python -P sampler.py DESCRIPTOR DESCRIPTOR SITE FILE...     (side_process.py starts it)

It is a script that imports nothing of the package, because the package is what is measured and may be older than the
gate; both sides run this one file. It reads commands from the first descriptor and answers on the second, one JSON
object a line, so that the output of pytest and of the benchmarks does not interfere.
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
"""From a number of calls to their total seconds by the benchmark's clock, and what the last call returned."""


@dataclass(frozen=True, slots=True)
class BenchmarkClock:
    """Measures calls.

    Attributes:
        start: called before them; `stop` is given what it returns.
        stop: called after them; returns the seconds in between.
        settle: waits until all work that was started has ended.
    """

    start: Callable[[], Any]
    stop: Callable[[Any], float]
    settle: Callable[[], None]


def cpu_clock(read: Callable[[], float]) -> BenchmarkClock:
    """A clock of CPU time from one of Python's functions."""
    return BenchmarkClock(read, lambda began: read() - began, lambda: None)


def cuda_clock() -> BenchmarkClock:
    """A clock of GPU time: between an event before the calls and one after them, on the current stream."""
    try:
        import torch
    except (ImportError, OSError) as error:  # OSError: torch is installed, and a library that it loads is missing
        pytest.fail(f'gate_clock("cuda") needs torch, which cannot be imported: {error}; install it', pytrace=False)
    if not torch.cuda.is_available():
        pytest.fail(
            f'gate_clock("cuda") needs a GPU, and torch {torch.__version__} can use none here: run this gate on a '
            "machine with a GPU, or remove the file from [timed]",
            pytrace=False,
        )

    def start() -> Any:
        torch.cuda.synchronize()  # work that a setup queued must not be counted
        began = torch.cuda.Event(enable_timing=True)
        began.record()
        return began

    def stop(began: Any) -> float:
        ended = torch.cuda.Event(enable_timing=True)
        ended.record()
        torch.cuda.synchronize()
        return float(began.elapsed_time(ended)) / 1e3

    return BenchmarkClock(start, stop, torch.cuda.synchronize)


CLOCKS: dict[str, Callable[[], BenchmarkClock]] = {
    "thread": lambda: cpu_clock(time.thread_time),
    "process": lambda: cpu_clock(time.process_time),
    "cuda": cuda_clock,
}


class Connection:
    """The connection to the process that decides."""

    def __init__(self, reading: int, writing: int) -> None:
        self._commands = os.fdopen(reading, "r")
        self._answers = os.fdopen(writing, "w")

    def tell(self, **answer: object) -> None:
        """Send an answer at once."""
        self._answers.write(json.dumps(answer) + "\n")
        self._answers.flush()

    def hear(self) -> Any:
        """Wait for a command. If the other process is gone, end this one."""
        line = self._commands.readline()
        if not line:
            os._exit(1)
        return json.loads(line)


class Benchmark:
    """Replaces pytest-benchmark's fixture: the other process decides when and how often it measures."""

    def __init__(self, name: str, clock: BenchmarkClock, connection: Connection) -> None:
        self.name = name
        self.group: str | None = None
        self.extra_info: dict[str, object] = {}
        self.stats = None
        self.called = False
        self._clock = clock
        self._connection = connection

    def __call__(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Measure calls of a function; returns what the last call returned."""

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
        """Measure calls with a setup and a teardown, which are not timed. The number of rounds is ignored."""
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
        self._connection.tell(event="ready", name=self.name)
        result = None
        while calls := self._connection.hear()["calls"]:
            began = time.perf_counter()
            gc.disable()  # a collection comes at random times; let it come between samples
            try:
                spent, result = take(calls)
            finally:
                gc.enable()
            self._clock.settle()  # the other side is next: it must find the GPU idle
            self._connection.tell(event="sample", spent_s=spent, elapsed_s=time.perf_counter() - began)
        return result


class Sampler:
    """The pytest plugin: lists the benchmarks, is told which to run, and reports how each ended."""

    def __init__(self, connection: Connection, site: Path) -> None:
        self._connection = connection
        self._site = site
        self._provided = [*provided_modules(site)]
        self._unread: dict[str, str] = {}
        self._problem = ""
        self._asked: Benchmark | None = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_load_initial_conftests(self, parser: pytest.Parser, args: list[str]) -> None:
        """Accept and ignore pytest-benchmark's options, which a project's configuration may have."""
        for option in {argument.partition("=")[0] for argument in args if argument.startswith("--benchmark-")}:
            with suppress(ValueError):  # another plugin has added it
                parser.addoption(option, nargs="?")

    def pytest_configure(self, config: pytest.Config) -> None:
        """Register the markers that benchmarks may have."""
        config.addinivalue_line("markers", "benchmark: of pytest-benchmark; ignored here")
        config.addinivalue_line("markers", f"gate_clock(name): the clock of the benchmark, one of {', '.join(CLOCKS)}")

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Keep the reason why a file could not be read."""
        if report.failed:
            self._unread[Path(report.nodeid.partition("::")[0]).name] = _last_line(report.longreprtext)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """List the benchmarks, and keep those that are to run."""
        found = [item for item in items if "benchmark" in getattr(item, "fixturenames", ())]
        benchmarks = {benchmark_name(item): item for item in found}
        if len(benchmarks) < len(found):
            raise pytest.UsageError("two benchmark files have the same name: rename one of them")
        clocks = {name: clock_name(item) for name, item in benchmarks.items()}
        self._connection.tell(event="collected", clocks=clocks, unread=self._unread, strays=self._strays())
        items[:] = [benchmarks[name] for name in self._connection.hear()["run"]]

    @pytest.fixture
    def benchmark(self, request: pytest.FixtureRequest) -> Benchmark:
        """The fixture of one test."""
        clock = clock_name(request.node)
        if clock not in CLOCKS:
            pytest.fail(f'there is no gate_clock("{clock}"): choose one of {", ".join(CLOCKS)}', pytrace=False)
        self._asked = Benchmark(benchmark_name(request.node), CLOCKS[clock](), self._connection)
        return self._asked

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the first failure of a test."""
        if report.passed or self._problem:
            return
        why = report.longrepr[2] if isinstance(report.longrepr, tuple) else _last_line(_crash(report))
        self._problem = f"{report.outcome} in {report.when}: {why}"

    def pytest_runtest_logfinish(self) -> None:
        """Report how a test ended, after its teardown."""
        if not self._problem and not (self._asked and self._asked.called):
            self._problem = "uses the benchmark fixture and never calls it"
        for package, where in self._strays().items():
            self._problem = self._problem or f"{package} was imported from {where}, not from its own site"
        self._connection.tell(event="done", problem=self._problem)
        self._problem, self._asked = "", None

    def _strays(self) -> dict[str, str]:
        """Modules of the site that were imported from elsewhere, with the place: the wrong code would be measured."""
        files = {name: getattr(sys.modules.get(name), "__file__", None) for name in self._provided}
        return {name: where for name, where in files.items() if where and not Path(where).is_relative_to(self._site)}


def benchmark_name(item: Any) -> str:
    """The name of a benchmark: file and test, without folders."""
    return f"{item.path.name}::{item.nodeid.partition('::')[2]}"


def clock_name(item: Any) -> str:
    """The clock that the marker of a benchmark asks for; it need not exist."""
    marker = item.get_closest_marker("gate_clock")
    return ", ".join(map(str, (*marker.args, *marker.kwargs.values()))) if marker else "thread"


def provided_modules(folder: Path, within: str = "") -> Iterator[str]:
    """The packages and modules that a folder provides; for namespace packages, also what they contain."""
    for entry in folder.iterdir():
        name = within + entry.name.partition(".")[0]
        if (entry / "__init__.py").exists() or entry.suffix in (".py", ".so"):
            yield name
        elif entry.is_dir() and entry.name.isidentifier():
            inside = [*provided_modules(entry, f"{name}.")]
            yield from [name, *inside] if inside else []


def _crash(report: pytest.TestReport) -> str:
    crash = getattr(report.longrepr, "reprcrash", None)
    return str(crash.message).removeprefix("Failed: ").strip().partition("\n")[0] if crash else report.longreprtext


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1].removeprefix("E").strip() if lines else "no message"


def run_sampler(arguments: list[str]) -> int:
    """Run the benchmarks of some files; returns pytest's exit status."""
    reading, writing, site, *files = arguments
    # Most of a launch is its start, so pytest gets no cache and no plugin that is not needed.
    options = ["-q", "-p", "no:cacheprovider", "--continue-on-collection-errors", "--tb=short"]
    return pytest.main([*options, *files], plugins=[Sampler(Connection(int(reading), int(writing)), Path(site))])


if __name__ == "__main__":
    sys.exit(run_sampler(sys.argv[1:]))
