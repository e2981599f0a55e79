"""Files in pieces: what is in them comes out whole, and what would fill the memory is refused."""

import gzip
import hashlib
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from warpgroup.errors import InvalidTrace
from warpgroup.workloads import read_trace
from warpgroup.workloads.readers import file as trace_file
from warpgroup.workloads.readers.file import TraceFile

ROWS = b"num_prefill_tokens,num_decode_tokens\n" + b"".join(b"%d,5\n" % n for n in range(1, 400))
PACKINGS = {
    "plain": bytes,
    "gzip": lambda data: gzip.compress(data, mtime=0),
    "zstd": lambda data: pa.compress(data, "zstd", asbytes=True),
}
quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("packing", PACKINGS)
@given(lines=st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\x00\n"))), size=st.integers(1, 50))
@quick
def test_blocks_are_the_text_in_whole_lines_with_their_numbers(tmp_path, packing, lines, size):
    text = "x\n" + "\n".join(lines)
    path = written(tmp_path / "t", PACKINGS[packing](text.encode()))
    with TraceFile(path, piece_bytes=size) as file:
        blocks = list(file.blocks())
        assert file.first_line == b"x"
        assert file.sha256() == hashlib.sha256(path.read_bytes()).hexdigest()
    assert b"".join(block.text for block in blocks) == text.encode()
    assert [block.row for block in blocks] == [
        1 + b"".join(earlier.text for earlier in blocks[:i]).count(b"\n") for i in range(len(blocks))
    ]
    assert all(block.text.endswith(b"\n") for block in blocks[:-1])


@pytest.mark.parametrize("packing", ["gzip", "zstd"])
def test_files_that_were_packed_in_parts_are_read_whole(tmp_path, packing):
    data = PACKINGS[packing](ROWS[:1000]) + PACKINGS[packing](ROWS[1000:])
    trace = read_trace(written(tmp_path / "t", data))
    assert trace.prompt_tokens.tolist() == list(range(1, 400))
    assert trace.source.sha256 == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("packing", ["gzip", "zstd"])
@given(cut=st.integers(5, 300), flip=st.integers(0, 255))
@quick
def test_a_packed_file_that_is_cut_off_or_followed_by_other_bytes_is_refused(tmp_path, packing, cut, flip):
    data = PACKINGS[packing](ROWS)
    with pytest.raises(InvalidTrace, match=f"damaged or truncated {packing} file"):
        read_trace(written(tmp_path / "cut", data[: min(cut, len(data) - 1)]))
    with pytest.raises(InvalidTrace, match=f"damaged or truncated {packing} file"):
        read_trace(written(tmp_path / "long", data + bytes([flip | 1]) * 9))


READ_AND_WEIGH = """
import resource, sys
from pathlib import Path
from warpgroup.errors import InvalidTrace
from warpgroup.workloads import read_trace

def peak_bytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

read_trace(Path(sys.argv[1]))
before = peak_bytes()
for path in map(Path, sys.argv[2:]):
    try:
        read_trace(path, unpacked_limit_bytes=8_000_000)
    except InvalidTrace as error:
        assert "unpacks to more than 8,000,000 bytes" in str(error), error
    else:
        raise AssertionError(f"{path} was read")
print(peak_bytes() - before)
"""


@pytest.mark.parametrize("packing", ["gzip", "zstd"])
def test_what_unpacks_to_too_much_is_refused_before_it_is_in_memory(tmp_path, packing):
    """Rows, one line, spaces, blank lines, a list: 64 MiB each."""
    fillings = (b"1,1\n", b"1", b" ", b"\n", b"[1,1],")
    bombs = []
    for i, filling in enumerate(fillings):
        start = b"[" if filling.startswith(b"[") else ROWS
        bombs.append(written(tmp_path / str(i), PACKINGS[packing](start + filling * ((64 << 20) // len(filling)))))
    command = [sys.executable, "-c", READ_AND_WEIGH, str(written(tmp_path / "t", PACKINGS[packing](ROWS)))]
    done = subprocess.run([*command, *map(str, bombs)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 150 << 20


def test_a_file_that_is_not_packed_may_be_of_any_size(tmp_path):
    assert len(read_trace(written(tmp_path / "t", ROWS), unpacked_limit_bytes=10)) == 399


def test_a_line_without_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(trace_file, "LONGEST_LINE_BYTES", 3 << 20)
    with pytest.raises(InvalidTrace, match="row 400: the line is longer than 3 MiB"):
        read_trace(written(tmp_path / "t", ROWS[:-4] + b"1" * (9 << 20)))


RECOGNISE_AND_WEIGH = """
import contextlib, resource, sys
from pathlib import Path
from warpgroup.errors import InvalidTrace
from warpgroup.workloads import scan_trace

peaks = []
for path in map(Path, sys.argv[1:]):
    with contextlib.suppress(InvalidTrace), scan_trace(path):
        pass
    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
print(peaks[-1] - peaks[0])
"""


def test_a_long_first_line_is_not_parsed_to_recognise_it(tmp_path):
    """Headers, and lists in a Mooncake row and under a key that nobody wants: 20 MiB each."""
    row = b'{"input_length":5,"output_length":5,"%s":[' + b"1000," * (4 << 20) + b"1]}"
    lines = (ROWS, b"a," * (10 << 20), row % b"hash_ids", row.replace(b"_length", b"_size") % b"tag")
    paths = [written(tmp_path / str(i), line) for i, line in enumerate(lines)]
    done = subprocess.run([sys.executable, "-c", RECOGNISE_AND_WEIGH, *paths], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 140 << 20


def test_a_json_document_of_any_length_is_refused(tmp_path):
    with pytest.raises(InvalidTrace, match="one JSON document of more than 64 MiB: write one object per line"):
        read_trace(written(tmp_path / "t", b"[[1, 2]," + b"\n" * (65 << 20) + b"[3, 4]]"))


def test_more_requests_than_the_memory_should_hold_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("warpgroup.workloads.reading.reading.MOST_REQUESTS", 398)
    with pytest.raises(InvalidTrace, match="more than 398 requests"):
        read_trace(written(tmp_path / "t", ROWS))


@pytest.mark.parametrize("place", [0, 5, 2_000_000])
def test_bytes_that_are_no_text_are_refused_with_their_place(tmp_path, place):
    rows = bytearray(ROWS + b"1,5\n" * 600_000)
    rows[place] = 0xFF
    row = rows.count(b"\n", 0, place) + 1
    with pytest.raises(InvalidTrace, match=rf"not a text file \(byte {place}, row {row}\)"):
        read_trace(written(tmp_path / "t", bytes(rows)))
