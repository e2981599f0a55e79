"""Fuzzing of the trace readers with libFuzzer, guided by the lines that each input reaches.

    pip install '.[fuzz]'
    python tests/fuzz/atheris_readers.py CORPUS -max_total_time=600

CORPUS is a folder; inputs that reach new lines are kept there. It starts with small files of every format, and with
those of `corpus.zip`, which earlier runs found. The options are libFuzzer's. The same must hold as in
`fuzz_readers.py`; an input that breaks it is saved as `crash-*`. libFuzzer prints what it did at the end.

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
    """Put the first inputs into the folder."""
    corpus.mkdir(parents=True, exist_ok=True)
    for name, data in SAMPLES.items():
        (corpus / name.replace(" ", "-")).write_bytes(b"\x00" + data)
    if FOUND.exists():
        ZipFile(FOUND).extractall(corpus)


def main() -> None:
    """Run libFuzzer, which ends the process."""
    arguments = sys.argv[1:]
    if not arguments or arguments[0].startswith("-"):
        sys.exit("usage: python tests/fuzz/atheris_readers.py CORPUS [OPTIONS OF LIBFUZZER]")
    corpus = Path(arguments[0])
    begin(corpus)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "trace"

        def one(data: bytes) -> None:
            """Read one input; its first byte chooses the options."""
            path.unlink(missing_ok=True)
            path.write_bytes(data[1:])
            read_or_refuse(path, OPTIONS[(data[0] if data else 0) % len(OPTIONS)])

        atheris.Setup([sys.argv[0], "-max_len=4096", "-timeout=10", "-rss_limit_mb=8192", *arguments], one)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
