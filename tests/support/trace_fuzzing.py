"""Files that are almost traces, and what must hold whatever is in them."""

import gzip
import io
import json
import random
import re
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
from support.trace_dialects import DIALECTS

from warpgroup.errors import InvalidTrace
from warpgroup.workloads import PrefixBlocks, Trace, read_trace, summarize_trace

ROWS = [(0, 374, 44), (120, 396, 109), (1200, 879, 55), (2345, 91, 16), (9000, 1085, 700)]


def clients_archive() -> bytes:
    """A ServeGen client in an archive; few requests are drawn from it."""
    window = {"input_tokens": "{300: 0.5, 1085: 0.5}", "output_tokens": "{44: 0.25, 700: 0.75}"}
    members = {
        "language/small/chunk-1-trace.csv": b"0,0.05,1.2,Gamma,0.7,25\r\n600,0,0,,0,0\r\n1200,0.01,1,Weibull,1,9\r\n",
        "language/small/chunk-1-dataset.json": json.dumps({"0": window}).encode(),
    }
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()


SAMPLES = {name: dialect.file(ROWS) for name, dialect in DIALECTS.items()} | {"servegen": clients_archive()}

NUMBERS = (
    b"0", b"-1", b"-0", b"0.5", b"1e3", b"1e308", b"1e999", b"-1e999", b"nan", b"NaN", b"inf", b"null", b"true", b"",
    b" 7 ", b"+7", b"0x10", b"1_000", b"007", b"2147483647", b"2147483648", b"9223372036854775807",
    b"9223372036854775808", b"-9223372036854775809", b"99999999999999999999999", b"9" * 400, b'"5"', b'"x"',
    b"\xd9\xa3", b"9999-12-31 23:59:59", b"0000-00-00 00:00:00", b"2024-02-30 00:00:00", b"2262-04-12 00:00:00Z",
    b"2024-05-12T00:00:00.123456789012Z", b"2024-05-12 00:00:00+99:99", b"[]", b"{}", b"[1]",
)  # fmt: skip
PIECES = (
    b"\n", b"\r", b"\r\n", b"\n\n", b",", b'"', b'""', b"'", b"\\", b"\x00", b"\xef\xbb\xbf", b"\xff", b"\xed\xa0\x80",
    b"\xe2\x80\xa8", b"{", b"}", b"[", b"]", b"[" * 300, b'{"requests":[' * 20, b'{"a":' * 2000, b"\t", b"\x0b",
    b"\x1c", b" " * 50, b"XXX", b"version https://git-lfs.github.com/spec/v1\n", b'"\\ud800"', b"PAR1",
    b"\x1f\x8b\x08\x00", b"\x28\xb5\x2f\xfd",
)  # fmt: skip
OPTIONS = (
    {}, {}, {"prefix": True}, {"prefix": True}, {"prefix": True, "strict": True}, {"strict": True},
    {"zero_outputs": "prefill-only"}, {"max_new_tokens": 10},
    {"columns": {"prompt": "input_length", "output": "output_length", "arrival": "timestamp"}, "time_unit": "ms"},
    {"columns": {"prompt": "ContextTokens", "output": "GeneratedTokens", "arrival": "TIMESTAMP"}},
    {"time_unit": "us"}, {"unpacked_limit_bytes": 300},
)  # fmt: skip
_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?")


def flip_byte(data: bytearray, rng: random.Random) -> None:
    if data:
        data[rng.randrange(len(data))] = rng.randrange(256)


def cut_off(data: bytearray, rng: random.Random) -> None:
    del data[rng.randrange(len(data) + 1) :]


def cut_out(data: bytearray, rng: random.Random) -> None:
    start = rng.randrange(len(data) + 1)
    del data[start : start + rng.randrange(1, 40)]


def put_in(data: bytearray, rng: random.Random) -> None:
    at = rng.randrange(len(data) + 1)
    data[at:at] = rng.choice(PIECES)


def other_number(data: bytearray, rng: random.Random) -> None:
    places = [match.span() for match in _NUMBER.finditer(data)]
    if places:
        start, end = rng.choice(places)
        data[start:end] = rng.choice(NUMBERS)


def swap_lines(data: bytearray, rng: random.Random) -> None:
    lines = data.split(b"\n")
    one, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    lines[one], lines[other] = lines[other], lines[one]
    data[:] = b"\n".join(lines)


def repeat_line(data: bytearray, rng: random.Random) -> None:
    lines = data.split(b"\n")
    at = rng.randrange(len(lines))
    lines[at:at] = [lines[rng.randrange(len(lines))]] * rng.choice((1, 2, 150))
    data[:] = b"\n".join(lines)


def line_of_another(data: bytearray, rng: random.Random) -> None:
    lines = data.split(b"\n")
    lines.insert(rng.randrange(len(lines) + 1), rng.choice(rng.choice(list(SAMPLES.values())).split(b"\n")))
    data[:] = b"\n".join(lines)


def random_bytes(data: bytearray, rng: random.Random) -> None:
    data[:] = rng.randbytes(rng.randrange(200))


MUTATIONS = (
    flip_byte, flip_byte, cut_off, cut_out, put_in, put_in, other_number, other_number, other_number, swap_lines,
    repeat_line, line_of_another,
)  # fmt: skip


def almost_a_trace(rng: random.Random) -> tuple[str, bytes]:
    """The name of the dialect that was damaged, and the file."""
    name = rng.choice(list(SAMPLES))
    data = bytearray(SAMPLES[name])
    if rng.random() < 0.01:
        random_bytes(data, rng)
    for _ in range(rng.choice((1, 1, 2, 3, 8))):
        rng.choice(MUTATIONS)(data, rng)
    packing = rng.random()
    if packing < 0.04:
        data = bytearray(gzip.compress(data, compresslevel=1, mtime=0))
    elif packing < 0.08:
        data = bytearray(pa.compress(bytes(data), "zstd", asbytes=True))
    if packing < 0.08 and rng.random() < 0.5:
        rng.choice((flip_byte, cut_off, put_in))(data, rng)
    return name, bytes(data)


def read_or_refuse(path: Path, options: dict) -> Trace | None:
    """None where the file is refused as no trace, in one line. Anything else that is raised is a fault."""
    try:
        trace = read_trace(path, **options)
    except InvalidTrace as error:
        message = str(error)
        assert message, "a refusal without a reason"
        assert len(message.splitlines()) == 1, f"more than one line: {message!r}"
        return None
    check(trace, options)
    return trace


def check(trace: Trace, options: dict) -> None:
    """What holds for every trace that was read."""
    source = trace.source
    assert len(trace) == source.kept > 0
    assert source.rows_read == source.kept + sum(source.dropped.values()), "rows are lost"
    assert all(count > 0 for count in (*source.dropped.values(), *source.repaired.values()))
    assert {*source.examples} == {*source.dropped, *source.repaired}
    assert not (options.get("strict") and source.examples), "strict reading dropped or changed a row"
    assert trace.prompt_tokens.min() >= 1
    assert trace.output_tokens.min() >= 1
    assert trace.output_tokens.max() <= trace.max_new_tokens
    assert trace.arrival_ns[0] == 0
    assert (np.diff(trace.arrival_ns) >= 0).all()
    assert trace.has_times or not trace.arrival_ns.any()
    assert {column.dtype for column in (trace.arrival_ns, trace.prompt_tokens, trace.output_tokens)} == {np.dtype("i8")}
    if trace.prefix is not None:
        assert options.get("prefix"), "nobody asked for blocks"
        check_blocks(trace, trace.prefix)


def check_blocks(trace: Trace, prefix: PrefixBlocks) -> None:
    """What holds for the blocks of every trace that was read."""
    assert len(prefix.ends) == len(trace)
    assert prefix.ends[-1] == len(prefix.ids) > 0
    assert {prefix.ends.dtype, prefix.ids.dtype} == {np.dtype("i8")}
    whole = trace.prompt_tokens // prefix.block_tokens
    assert ((prefix.counts == 0) | (prefix.counts == whole) | (prefix.counts == whole + 1)).all()
    assert not prefix.breaks.any()
    sharing = summarize_trace(trace).prefix
    assert 0 <= sharing.hit < 1
    assert all(0 <= share <= sharing.hit for share in sharing.hit_within.values())
