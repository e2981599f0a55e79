"""The process of one side: started, driven over two pipes, and always ended."""

import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from ...broken import Broken

SAMPLER = Path(__file__).with_name("sampler.py")


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two packages that are compared.

    Attributes:
        name: "base" or "head".
        site: the folder that the package is installed in (`pip install --target`); it goes first on PYTHONPATH.
        python: the interpreter.
    """

    name: str
    site: Path
    python: str = sys.executable


class BenchmarkEnded(Exception):
    """A benchmark ended before it was told to."""


class ProcessLost(Broken):
    """A side's process ended, or did not answer in time."""


class SideProcess:
    """A side's pytest, which runs `sampler.py`. A context manager."""

    def __init__(self, side: Side, files: Sequence[Path], root: Path, deadline: float) -> None:
        """Start the process. `deadline` is a time of time.monotonic()."""
        self.name = side.name
        self._deadline = deadline
        self._unread = b""
        self._last: dict[str, Any] = {}
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - closed in __exit__
        theirs_in, self._commands = os.pipe()
        self._answers, theirs_out = os.pipe()
        # -P: Python must not look for modules in the sampler's own folder, which belongs to the gate.
        command = [side.python, "-P", str(SAMPLER), str(theirs_in), str(theirs_out), str(side.site.resolve())]
        self._process = subprocess.Popen(
            [*command, *(str(file.resolve()) for file in files)],
            cwd=root,
            env=_environment(side.site.resolve()),
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            pass_fds=(theirs_in, theirs_out),
        )
        os.close(theirs_in)
        os.close(theirs_out)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Kill the process: it has nothing left to do, and might hang."""
        self._process.kill()
        self._process.wait()
        os.close(self._commands)
        os.close(self._answers)
        self._output.close()

    def tell(self, **command: object) -> None:
        """Send a command. Raises ProcessLost."""
        try:
            os.write(self._commands, (json.dumps(command) + "\n").encode())
        except BrokenPipeError:
            raise ProcessLost(self._how_it_ended()) from None

    def hear(self) -> dict[str, Any]:
        """Wait for the next answer. Raises ProcessLost."""
        while b"\n" not in self._unread:
            left_s = self._deadline - time.monotonic()
            if left_s <= 0 or not select.select([self._answers], [], [], left_s)[0]:
                raise ProcessLost(f"{self.name} hangs: no answer in time")
            part = os.read(self._answers, 1 << 16)
            if not part:
                raise ProcessLost(self._how_it_ended())
            self._unread += part
        line, _, self._unread = self._unread.partition(b"\n")
        self._last = json.loads(line)
        return self._last

    def ask(self, calls: int) -> dict[str, Any]:
        """Ask for a sample of so many calls. Raises ProcessLost and BenchmarkEnded."""
        self.tell(calls=calls)
        if self.hear()["event"] == "done":
            raise BenchmarkEnded
        return self._last

    @property
    def has_ended(self) -> bool:
        """Whether the present benchmark has ended, by itself or as told."""
        return bool(self._last["event"] == "done")

    def finish(self) -> str:
        """End the present benchmark; returns what went wrong with it, or "". Raises ProcessLost."""
        if not self.has_ended:
            self.tell(calls=0)
            self.hear()
        return str(self._last["problem"])

    def _how_it_ended(self) -> str:
        """How the process ended; one that closed its pipe and still runs is killed."""
        try:
            code = self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self._output.seek(0)
        said = [line for line in self._output.read().decode(errors="replace").splitlines() if line.strip()]
        return f"{self.name} died with code {code}: {said[-1].strip() if said else 'it printed nothing'}"


def _environment(site: Path) -> dict[str, str]:
    path = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": "0", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
