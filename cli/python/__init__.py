"""WarpGroup for notebooks and scripts: what `import warpgroup as wg` offers.

Functions have longer names here than in `wg`, because the packages below have functions of the short names:
`wg.read_trace` is `load_trace`, `wg.simulate` is `simulate_trace`, `wg.compare` is `compare_policies`, `wg.sweep` is
`sweep_rates`, `wg.read_run` is `load_run`, and `wg.report` is `save_report`.
"""

from ...experiment import Limits, Slo
from ...workloads import Trace
from .compare_policies import compare_policies as compare
from .comparison import Comparison
from .load_trace import load_trace as read_trace
from .run_result import RunResult
from .run_result import load_run as read_run
from .save_report import save_report as report
from .simulate_trace import simulate_trace as simulate
from .sweep_rates import SweepResult
from .sweep_rates import sweep_rates as sweep

__all__ = [
    "Comparison",
    "Limits",
    "RunResult",
    "Slo",
    "SweepResult",
    "Trace",
    "compare",
    "read_run",
    "read_trace",
    "report",
    "simulate",
    "sweep",
]
