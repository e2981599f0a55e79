"""One side's process: started, spoken to over two pipes, ended whatever happens."""

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

from .broken import Broken

SAMPLER = Path(__file__).with_name("sampler.py")


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two that are compared.

    Attributes:
        name: for messages: "base" or "head".
        site: the folder that its package is installed in (`pip install --target`); it is put first on PYTHONPATH.
        python: the interpreter.
    """

    name: str
    site: Path
    python: str = sys.executable


class Ended(Exception):
    """A benchmark was over before it was told to be."""


class Lost(Broken):
    """A side ended, or was not heard of in time."""


class SideProcess:
    """A side's pytest, which runs `sampler.py`. Use it as a context manager."""

    def __init__(self, side: Side, files: Sequence[Path], root: Path, deadline: float) -> None:
        """The deadline is one of time.monotonic()."""
        self.name = side.name
        self._deadline = deadline
        self._unread = b""
        self._last: dict[str, Any] = {}
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - closed in __exit__
        theirs_in, self._commands = os.pipe()
        self._answers, theirs_out = os.pipe()
        # -P: the sampler's folder, which is the gate's, must not be where modules are looked for.
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
        """Without commands it ends by itself; but nothing is left that it could still do well."""
        self._process.kill()
        self._process.wait()
        os.close(self._commands)
        os.close(self._answers)
        self._output.close()

    def tell(self, **command: object) -> None:
        """A command. Raises Lost."""
        try:
            os.write(self._commands, (json.dumps(command) + "\n").encode())
        except BrokenPipeError:
            raise Lost(self._obituary()) from None

    def hear(self) -> dict[str, Any]:
        """The next answer. Raises Lost."""
        while b"\n" not in self._unread:
            left_s = self._deadline - time.monotonic()
            if left_s <= 0 or not select.select([self._answers], [], [], left_s)[0]:
                raise Lost(f"{self.name} hangs: no answer in time")
            part = os.read(self._answers, 1 << 16)
            if not part:
                raise Lost(self._obituary())
            self._unread += part
        line, _, self._unread = self._unread.partition(b"\n")
        self._last = json.loads(line)
        return self._last

    def ask(self, calls: int) -> dict[str, Any]:
        """For a sample of so many calls. Raises Lost, and Ended."""
        self.tell(calls=calls)
        if self.hear()["event"] == "done":
            raise Ended
        return self._last

    def finish(self) -> str:
        """Let the benchmark that it is at end; what went wrong with it, or nothing. Raises Lost."""
        if self._last["event"] != "done":
            self.tell(calls=0)
            self.hear()
        return str(self._last["problem"])

    def _obituary(self) -> str:
        """Who closed its pipe and goes on is helped to end."""
        try:
            code = self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self._output.seek(0)
        said = [line for line in self._output.read().decode(errors="replace").splitlines() if line.strip()]
        return f"{self.name} died with code {code}: {said[-1].strip() if said else 'it said nothing'}"


def _environment(site: Path) -> dict[str, str]:
    path = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": "0", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
