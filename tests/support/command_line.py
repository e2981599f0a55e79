"""The command as a user runs it: in a process of its own."""

import subprocess
import sys


def warpgroup(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Output as text; whatever the exit code."""
    return subprocess.run([sys.executable, "-m", "warpgroup", *arguments], capture_output=True, text=True, check=False)
