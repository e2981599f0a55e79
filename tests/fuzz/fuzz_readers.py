"""Random damage to trace files: every file is read or refused, and every row is accounted for.

    python tests/fuzz/fuzz_readers.py --seconds 3600 --seed 1 --out result.json

Files are small samples of every format, damaged at random; the seed decides all of them. An input that gives neither a
trace nor an error of one line, or takes longer than `--slowest` seconds, is saved under `--save`, and the exit code is
1. The file that is being read is named `current` there, so that it remains if the process itself dies. The counts are
printed as JSON at the end.
"""

import argparse
import faulthandler
import hashlib
import json
import random
import sys
import time
import traceback
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.trace_fuzzing import OPTIONS, almost_a_trace, read_or_refuse

_FAILURES_SHOWN = 20


def fuzz(seconds: float, seed: int, save: Path, slowest_s: float) -> dict:
    """Fuzz until the time is over or too many inputs have failed, and return the counts."""
    rng = random.Random(seed)
    save.mkdir(parents=True, exist_ok=True)
    current = save / "current"
    outcomes: dict[str, Counter[str]] = {}
    failures: list[dict[str, str]] = []
    longest_s, inputs, start, start_cpu = 0.0, 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - start < seconds and len(failures) < _FAILURES_SHOWN:
        name, data = almost_a_trace(rng)
        options = rng.choice(OPTIONS)
        current.unlink(missing_ok=True)  # truncating an existing file takes ten times as long on some file systems
        current.write_bytes(data)
        began = time.perf_counter()
        try:
            outcome = "refused" if read_or_refuse(current, options) is None else "read"
        except Exception as error:
            outcome = "failed"
            failures.append(_saved(save, name, data, options, "".join(traceback.format_exception(error))))
        took_s = time.perf_counter() - began
        if took_s > slowest_s:
            failures.append(_saved(save, name, data, options, f"took {took_s:.1f} s"))
        longest_s, inputs = max(longest_s, took_s), inputs + 1
        outcomes.setdefault(name, Counter())[outcome] += 1
    current.unlink(missing_ok=True)
    took_s, cpu_s = time.perf_counter() - start, time.process_time() - start_cpu
    return {
        "inputs": inputs,
        "seconds": round(took_s, 1),
        "inputs_per_cpu_s": round(inputs / cpu_s, 1),
        "seed": seed,
        "longest_s": round(longest_s, 3),
        "outcomes": {name: dict(counts) for name, counts in sorted(outcomes.items())},
        "failures": failures,
    }


def _saved(save: Path, name: str, data: bytes, options: dict, what: str) -> dict[str, str]:
    path = save / hashlib.sha256(data).hexdigest()[:16]
    path.write_bytes(data)
    return {"dialect": name, "options": repr(options), "input": str(path), "what": what}


def main() -> int:
    """Print the counts. Returns 1 if any input failed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="write the counts to this file too")
    parser.add_argument("--save", type=Path, default=Path("fuzz-failures"), help="folder for inputs that failed")
    parser.add_argument("--slowest", type=float, default=5, help="seconds that one small file may take")
    arguments = parser.parse_args()
    faulthandler.enable()
    result = fuzz(arguments.seconds, arguments.seed, arguments.save, arguments.slowest)
    text = json.dumps(result, indent=1)
    if arguments.out:
        arguments.out.write_text(text + "\n")
    print(text)
    return 1 if result["failures"] else 0


if __name__ == "__main__":
    sys.exit(main())
