"""Trace files that libFuzzer damages, guided by which lines of the readers they reach.

    pip install '.[fuzz]'
    python tests/fuzz/atheris_readers.py CORPUS -max_total_time=600

CORPUS is a folder; what reaches new lines is kept there. To begin with it gets small files of every format, and those
of `corpus.zip`, which earlier runs found. Options are libFuzzer's. What must hold is what must hold in
`fuzz_readers.py`; an input for which it does not is saved as `crash-*`.

`least_corpus.py` makes `corpus.zip` from such a folder.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import ZipFile

import atheris

sys.path.insert(0, str(Path(__file__).parents[1]))

with atheris.instrument_imports(include=["warpgroup.workloads"]):
    from support.trace_fuzzing import OPTIONS, SAMPLES, read_or_refuse

FOUND = Path(__file__).with_name("corpus.zip")


def begin(corpus: Path) -> None:
    """Put into the folder what is to be damaged."""
    corpus.mkdir(parents=True, exist_ok=True)
    for name, data in SAMPLES.items():
        (corpus / name.replace(" ", "-")).write_bytes(b"\x00" + data)
    if FOUND.exists():
        ZipFile(FOUND).extractall(corpus)


def main() -> None:
    """Does not return: libFuzzer ends the process."""
    arguments = sys.argv[1:]
    if not arguments or arguments[0].startswith("-"):
        sys.exit("usage: python tests/fuzz/atheris_readers.py CORPUS [OPTIONS OF LIBFUZZER]")
    corpus = Path(arguments[0])
    begin(corpus)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "trace"

        def one(data: bytes) -> None:
            """The first byte says with which options the rest is read."""
            path.unlink(missing_ok=True)
            path.write_bytes(data[1:])
            read_or_refuse(path, OPTIONS[(data[0] if data else 0) % len(OPTIONS)])

        atheris.Setup([sys.argv[0], "-max_len=4096", "-timeout=10", "-rss_limit_mb=8192", *arguments], one)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
