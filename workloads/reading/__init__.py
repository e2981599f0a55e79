"""From a file to a clean trace: recognises the format, drops and repairs rows, reads request logs and ServeGen."""

from .canonical import write_trace
from .reading import read_trace, scan_trace
from .request_log import RequestLog, read_request_log
from .servegen_files import holds_clients

__all__ = ["RequestLog", "holds_clients", "read_request_log", "read_trace", "scan_trace", "write_trace"]
