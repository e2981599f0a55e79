"""Settings of every test: SIGINT is heard, Hypothesis neither times out nor differs between two runs of CI, and the
root of a clone is no package of tests.
"""

import os
import signal
import threading
from pathlib import Path

import pytest
from hypothesis import settings

# A shell that runs the tests in its background has them, and all that they start, ignore SIGINT.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN and threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Shared machines are slow at times, so a deadline only finds load. In CI the same examples run at every commit; a
# developer's run draws new ones.
settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")


class _RootIsNoTestPackage:
    """Keeps pytest from importing the `__init__.py` at the root of the repository.

    It belongs to the package `warpgroup`, whose core may not be built here; and a clone may have any name.
    """

    @pytest.hookimpl(tryfirst=True)
    def pytest_collect_directory(self, path: Path, parent: pytest.Collector) -> pytest.Collector | None:
        """A plain folder where pytest would see a package."""
        if path == parent.config.rootpath:
            return pytest.Dir.from_parent(parent, path=path)
        return None


def pytest_configure(config: pytest.Config) -> None:
    """Register the hook for all folders: pytest asks a conftest only about the folders below it."""
    config.pluginmanager.register(_RootIsNoTestPackage())
