"""WarpGroup: which batching policy should serve these requests on this GPU, and what will it give?

import warpgroup as wg

trace = wg.read_trace("requests.csv")
comparison = wg.compare(trace, "paged,skyline", device="rtx-4090")
wg.report(comparison, "report.html")
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .cli.python import (
        Comparison,
        Limits,
        RunResult,
        Slo,
        SweepResult,
        Trace,
        compare,
        read_run,
        read_trace,
        report,
        simulate,
        sweep,
    )

    __version__: str

__all__ = [
    "Comparison",
    "Limits",
    "RunResult",
    "Slo",
    "SweepResult",
    "Trace",
    "__version__",
    "compare",
    "read_run",
    "read_trace",
    "report",
    "simulate",
    "sweep",
]


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used: importing the package alone takes no time and loads no library."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "__version__":
        value: Any = import_module("importlib.metadata").version("warpgroup")
    else:
        value = getattr(import_module(".cli.python", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})


def _refuse_unbuilt_core() -> None:
    """Raises ImportError: this is a source tree, and its C++ core is not built."""
    root = os.path.dirname(os.path.abspath(__file__))
    core = os.path.join(root, "csrc")
    if any(name.startswith("_core.") and not name.endswith(".pyi") for name in os.listdir(core)):
        return
    try:
        import_module(".csrc._core", __name__)  # an editable installation keeps it elsewhere
    except ModuleNotFoundError as error:
        if not str(error.name).endswith("csrc._core"):
            raise
        raise ImportError(
            f"the C++ core of warpgroup is not built in {root}: run `pip install .` there, then import warpgroup from "
            "another folder"
        ) from None


_refuse_unbuilt_core()
