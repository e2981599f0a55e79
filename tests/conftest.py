"""Settings of every test: SIGINT is heard, and Hypothesis neither times out nor differs between two runs of CI."""

import os
import signal
import threading

from hypothesis import settings

# A shell that runs the tests in its background has them, and all that they start, ignore SIGINT.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN and threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Shared machines are slow at times, so a deadline only finds load. In CI the same examples run at every commit; a
# developer's run draws new ones.
settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")
