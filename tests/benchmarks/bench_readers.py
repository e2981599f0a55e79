"""Measures reading of traces with millions of rows on one core: rows a CPU second, and memory besides the imports.

    pytest -s tests/benchmarks/bench_readers.py

The file is like Azure's of 2024: 45 rows a second in order, dates with a time zone and mixed precision, a tenth of them
without a fraction. `scan` reads some rows at a time; `read` keeps the trace, 24 bytes a request. Memory at Azure's
27,303,999 rows is extrapolated from two sizes.
"""

import gzip
import json
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from warpgroup.workloads import read_trace

SIZES = (1_000_000, 5_000_000)
AZURE_2024_ROWS = 27_303_999
ROWS_AT_ONCE = 200_000

MEASURED = """
import json, resource, sys, time
from pathlib import Path
from warpgroup.workloads import read_trace
from warpgroup.workloads.reading import scan_trace

def peak_bytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

way, warm_up, path = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
read_trace(warm_up)  # so that late imports are not measured
before_bytes, before_s = peak_bytes(), time.process_time()
if way == "scan":
    with scan_trace(path) as scan:
        rows = sum(len(requests.row) for requests in scan)
else:
    rows = len(read_trace(path))
took_s = time.process_time() - before_s
more_bytes = peak_bytes() - before_bytes
print(json.dumps({"rows": rows, "took_s": took_s, "more_bytes": more_bytes, "before_bytes": before_bytes}))
"""


def write_azure_2024(path: Path, rows: int) -> None:
    rng = np.random.default_rng(0)
    start = datetime(2024, 5, 12, tzinfo=UTC)
    micros = latest = 0
    with path.open("w") as file:
        file.write("TIMESTAMP,ContextTokens,GeneratedTokens\n")
        for first in range(0, rows, ROWS_AT_ONCE):
            count = min(ROWS_AT_ONCE, rows - first)
            gaps = rng.exponential(1e6 / 45, count).astype(np.int64)
            at = micros + np.cumsum(gaps)
            micros = int(at[-1])
            whole = rng.random(count) < 0.1
            at = np.where(whole, at // 10**6 * 10**6, at)
            at = np.maximum.accumulate(np.maximum(at, latest))
            latest = int(at[-1])
            prompts = np.clip(rng.lognormal(6.8, 1.1, count), 1, 7999).astype(int)
            outputs = np.clip(rng.lognormal(3.7, 1.0, count), 1, 1500).astype(int)
            columns = zip(at.tolist(), prompts.tolist(), outputs.tolist(), strict=True)
            file.writelines(f"{start + timedelta(microseconds=t)},{p},{o}\n" for t, p, o in columns)


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[int, Path]:
    folder = tmp_path_factory.mktemp("azure-2024")
    made = {rows: folder / f"{rows}.csv" for rows in (1_000, *SIZES)}
    for rows, path in made.items():
        write_azure_2024(path, rows)
    return made


def measured(way: str, warm_up: Path, path: Path) -> dict[str, float]:
    command = [sys.executable, "-c", MEASURED, way, str(warm_up), str(path)]
    return json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)


@pytest.mark.parametrize("way", ["scan", "read"])
def test_azure_2024(files, way):
    small, large = (measured(way, files[1_000], files[rows]) for rows in SIZES)
    bytes_a_row = (large["more_bytes"] - small["more_bytes"]) / (large["rows"] - small["rows"])
    at_full_size = large["more_bytes"] + bytes_a_row * (AZURE_2024_ROWS - large["rows"])
    mib = [round(value / 2**20) for value in (small["more_bytes"], large["more_bytes"], at_full_size)]
    print(f"\n{way}: {large['rows'] / large['took_s']:,.0f} rows a CPU second")
    print(f"  beyond {large['before_bytes'] >> 20} MiB: {mib[0]} MiB for {SIZES[0]:,} rows, {mib[1]} for {SIZES[1]:,}")
    print(f"  so {mib[2]} MiB for {AZURE_2024_ROWS:,}")
    assert large["rows"] == SIZES[1]
    assert large["rows"] / large["took_s"] > 1e6


def write_servegen(folder: Path, clients: int = 36, windows: int = 144) -> None:
    """A day of clients like those of deepseek-r1: 10 requests a second together, 2,000 lengths in each of 4 windows."""
    rng = np.random.default_rng(0)
    for client in range(clients):
        rates, shapes = rng.integers(1, 333, windows) / 600, rng.lognormal(0, 1, windows)
        rows = zip(range(windows), rates.tolist(), shapes.tolist(), strict=True)
        (folder / f"chunk-{client}-trace.csv").write_text(
            "".join(f"{600 * i},{rate},1,Gamma,{shape},1\r\n" for i, rate, shape in rows)
        )
        lengths = str(dict.fromkeys(range(1, 2001), 1 / 2000))
        dataset = {str(21_600 * i): {"input_tokens": lengths, "output_tokens": lengths} for i in range(4)}
        (folder / f"chunk-{client}-dataset.json").write_text(json.dumps(dataset))


def test_servegen(tmp_path):
    write_servegen(tmp_path)
    read_trace(tmp_path)
    before_s = time.process_time()
    requests = len(read_trace(tmp_path, end_s=86_400))
    took_s = time.process_time() - before_s
    print(f"\nservegen: {requests:,} requests drawn, {requests / took_s:,.0f} a CPU second")
    assert requests / took_s > 5e5


def test_gzip(files, tmp_path):
    packed = tmp_path / "packed.csv.gz"
    packed.write_bytes(gzip.compress(files[SIZES[0]].read_bytes(), compresslevel=1))
    result = measured("read", files[1_000], packed)
    print(f"\ngzip: {result['rows'] / result['took_s']:,.0f} rows a CPU second")
    assert result["rows"] == SIZES[0]
