"""Reduce a corpus of guided fuzzing to the smallest files that together take all of its paths through the readers.

    python tests/fuzz/least_corpus.py CORPUS

writes them to corpus.zip beside this file, where `atheris_readers.py` starts from. A path is a step from one line to
another.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.trace_fuzzing import OPTIONS, read_or_refuse

import warpgroup.workloads

_TRACED = str(Path(warpgroup.workloads.__file__).parent)
_THE_SAME_EACH_TIME = (2000, 1, 1, 0, 0, 0)

Paths = set[tuple[str, int, int]]


def paths(path: Path, options: dict[str, Any]) -> Paths:
    """The steps from line to line when a file is read."""
    found: Paths = set()
    last: dict[int, int] = {}

    def step(frame: FrameType, event: str, _: object) -> Any:
        if not frame.f_code.co_filename.startswith(_TRACED):
            return None
        found.add((frame.f_code.co_filename, last.get(id(frame), 0) if event == "line" else 0, frame.f_lineno))
        last[id(frame)] = frame.f_lineno
        return step

    sys.settrace(step)
    try:
        read_or_refuse(path, options)
    finally:
        sys.settrace(None)
    return found


def main() -> None:
    """Read small files first, so that a large file is kept only if no smaller one takes its paths."""
    corpus = sorted(Path(sys.argv[1]).iterdir(), key=lambda path: (path.stat().st_size, path.name))
    seen: Paths = set()
    kept: list[bytes] = []
    with TemporaryDirectory() as folder:
        for path in corpus:
            data = path.read_bytes()
            trace = Path(folder) / "trace"
            trace.write_bytes(data[1:])
            new = paths(trace, OPTIONS[(data[0] if data else 0) % len(OPTIONS)]) - seen
            if new:
                seen |= new
                kept.append(data)
    with ZipFile(Path(__file__).with_name("corpus.zip"), "w", ZIP_DEFLATED, compresslevel=9) as out:
        for number, data in enumerate(kept):
            out.writestr(ZipInfo(f"found-{number:04}", _THE_SAME_EACH_TIME), data, ZIP_DEFLATED, 9)
    print(f"{len(kept)} of {len(corpus)} files, {sum(map(len, kept)):,} bytes")


if __name__ == "__main__":
    main()
