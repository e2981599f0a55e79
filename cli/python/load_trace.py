"""`wg.read_trace`: the requests of a file."""

from collections.abc import Mapping
from pathlib import Path

from ...errors import InvalidTrace
from ...workloads import Trace, read_trace, token_limit, whole_within
from ..defaults import MOST_SEED
from .inputs import HOW_TO_READ, check_type


def load_trace(
    path: str | Path,
    *,
    max_new_tokens: int | None = None,
    columns: Mapping[str, str] | None = None,
    time_unit: str | None = None,
    strict: bool = False,
    seed: int = 0,
) -> Trace:
    """Read a trace file; its format is found from the content (`warpgroup trace inspect --help` lists the formats).

    Args:
        path: a file, plain, gzip or zstd, or a folder of ServeGen's clients.
        max_new_tokens: the most tokens that a request may generate; longer outputs are cut. Default: by the format.
        columns: read the file as a table: `{"arrival": NAME, "prompt": NAME, "output": NAME}`.
        time_unit: the unit of arrivals in such a table: "s" (default), "ms", "us" or "ns".
        strict: refuse the file at the first row that would be dropped or changed.
        seed: of the requests that are drawn from ServeGen's clients.

    Raises:
        InvalidTrace: the file is missing, damaged, of an unknown format, or has no usable row.
        InvalidScenario: another argument is wrong.
    """
    if not isinstance(path, str | Path):
        raise InvalidTrace(f"expected the path of a file, not a {type(path).__name__}: {HOW_TO_READ}")
    check_type("columns", columns, (Mapping, type(None)), 'such as {"arrival": "received", ...}')
    if max_new_tokens is not None:
        max_new_tokens = token_limit(max_new_tokens)
    seed = whole_within("seed", seed, 0, MOST_SEED)
    return read_trace(
        Path(path), max_new_tokens=max_new_tokens, columns=columns, time_unit=time_unit, strict=strict, seed=seed
    )
