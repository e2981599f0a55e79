"""Where the simulations of a sweep run: on processes of this machine, or on a Ray cluster, with the same results."""

import importlib
import multiprocessing
import os
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager
from importlib.util import find_spec
from typing import Any, Protocol

from ...errors import DeviceUnavailable, InvalidScenario, UnknownName, WarpGroupError
from .trials import Job, Record, SweepSetting, version_here

WORKER_KINDS = ("local", "ray")


class Workers(Protocol):
    """Runs up to `slots` jobs at the same time."""

    slots: int

    def submit(self, job: Job) -> None:
        """Start a job. The caller keeps at most `slots` jobs running, so that Ctrl-C waits for no queued job."""

    def results(self) -> list[Record]:
        """The results of the jobs that have ended; waits until at least one has."""


def check_workers(name: str, address: str | None) -> None:
    """Check the value of `--engine`.

    Raises:
        UnknownName: there is no such kind of workers.
        InvalidScenario: an address without Ray.
        DeviceUnavailable: Ray is not installed.
    """
    if name not in WORKER_KINDS:
        raise UnknownName("engine", name, WORKER_KINDS)
    if name == "ray" and find_spec("ray") is None:
        raise DeviceUnavailable("--engine ray needs Ray, which is not installed: pip install '.[ray]' in the clone")
    if address is not None and name != "ray":
        raise InvalidScenario("--ray-address needs --engine ray: give both or neither")


def open_workers(
    name: str, setting: SweepSetting, *, workers: int | None = None, address: str | None = None
) -> AbstractContextManager[Workers]:
    """Workers of a kind ("local" or "ray"), as a context.

    Args:
        workers: simulations at a time; None: one for each core.
        address: of a Ray cluster; None: the cluster that this machine belongs to, else a new one on this machine.

    Raises:
        DeviceUnavailable: Ray or the cluster cannot be reached.
    """
    check_workers(name, address)
    return _on_ray(setting, workers, address) if name == "ray" else _on_this_machine(setting, workers)


class _LocalWorkers:
    def __init__(self, pool: ProcessPoolExecutor, slots: int) -> None:
        self.slots = slots
        self._pool = pool
        self._running: set[Future[Record]] = set()

    def submit(self, job: Job) -> None:
        # A process that `submit` starts inherits the mask. Ctrl-C then waits until `_start` has run in that process,
        # so that the process ends without a traceback.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self._running.add(self._pool.submit(_run, job))
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})

    def results(self) -> list[Record]:
        ended, self._running = wait(self._running, return_when=FIRST_COMPLETED)
        return [future.result() for future in ended]


@contextmanager
def _on_this_machine(setting: SweepSetting, workers: int | None) -> Iterator[Workers]:
    slots = workers or os.cpu_count() or 1
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(slots, mp_context=context, initializer=_start, initargs=(setting,)) as pool:
        yield _LocalWorkers(pool, slots)


_setting: SweepSetting


def _start(setting: SweepSetting) -> None:
    global _setting
    _setting = setting
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # an incomplete trial has no result: there is nothing to clean up
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _run(job: Job) -> Record:
    return job.run(_setting)


class _RayWorkers:
    def __init__(self, ray: Any, setting: SweepSetting, slots: int) -> None:
        self.slots = slots
        self._ray = ray
        self._task = ray.remote(num_cpus=1)(run_on_ray)
        self._setting = ray.put((setting, version_here()))
        self._running: list[Any] = []

    def submit(self, job: Job) -> None:
        self._running.append(self._task.remote(self._setting, job))

    def results(self) -> list[Record]:
        ended, self._running = self._ray.wait(self._running)
        try:
            records: list[Record] = self._ray.get(ended)
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, WarpGroupError):
                raise error.cause from None
            raise DeviceUnavailable(
                f"a simulation failed on Ray: {_last_line(error)}; is warpgroup installed on every node?"
            ) from None
        except self._ray.exceptions.RayError as error:
            raise DeviceUnavailable(f"Ray lost a simulation: {_last_line(error)}; --resume continues") from None
        return records


@contextmanager
def _on_ray(setting: SweepSetting, workers: int | None, address: str | None) -> Iterator[Workers]:
    ray = importlib.import_module("ray")
    joined = bool(ray.is_initialized())
    if not joined:
        _connect(ray, workers, address)
    cores = int(ray.cluster_resources().get("CPU", 1))
    try:
        yield _RayWorkers(ray, setting, min(workers or cores, cores))
    finally:
        if not joined:
            ray.shutdown()


def _connect(ray: Any, workers: int | None, address: str | None) -> None:
    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    try:
        if address is not None:
            _check_reachable(address)
        ray.init(address=address or "auto", **quiet)
    except (OSError, RuntimeError, ValueError) as error:
        if address is not None:
            raise DeviceUnavailable(f"no Ray cluster at {address}: {_last_line(error)}; see `ray status`") from None
        # A cluster that we start sends no usage statistics.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        ray.init(address="local", num_cpus=workers, include_dashboard=False, **quiet)


def _check_reachable(address: str) -> None:
    """Connect to the address once, since Ray itself would try for minutes.

    Raises:
        OSError: no connection, or the address does not have the form HOST:PORT.
    """
    if address == "auto":
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not (host and port.isdigit()):
        raise OSError("expected HOST:PORT, ray://HOST:PORT or auto")
    socket.create_connection((host, int(port)), timeout=5).close()


def run_on_ray(given: tuple[SweepSetting, tuple[str, str]], job: Job) -> Record:
    """Run a job on a Ray node.

    Raises:
        DeviceUnavailable: the node has another version than the machine that asks.
    """
    setting, wanted = given
    if version_here() != wanted:
        found, asked = (" ".join(version).strip() for version in (version_here(), wanted))
        raise DeviceUnavailable(
            f"a Ray node has warpgroup {found}, not {asked}: install the same version on every node"
        )
    return job.run(setting)


def _last_line(error: Exception) -> str:
    return str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
