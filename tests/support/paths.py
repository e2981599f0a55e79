"""Where things are: the repository, and material beside it that some tests read where it is present."""

from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
RESULTS = REPOSITORY / "reports" / "results"
BENCHMARKS = REPOSITORY / "tests" / "benchmarks"
SHARED = REPOSITORY.parent / "shared"
