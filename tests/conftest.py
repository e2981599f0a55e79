"""What holds for all tests."""

import signal
import threading
from pathlib import Path

import pytest

# A shell that runs the tests in its background has them, and whatever they start, ignore SIGINT: here it is heard.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN and threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)


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
    """Register the hook for all folders: one of a conftest is not asked about the folders above it."""
    config.pluginmanager.register(_RootIsNoTestPackage())
