"""A shell that runs the tests in its background has them, and whatever they start, ignore SIGINT: here it is heard."""

import signal
import threading

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN and threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)
