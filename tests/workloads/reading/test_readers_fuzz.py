"""Whatever is in a file: a trace in which every row is accounted for, or a refusal in one line.

`python tests/fuzz/fuzz_readers.py` goes on for as long as it is told to.
"""

import random
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from support.paths import REPOSITORY
from support.trace_fuzzing import OPTIONS, SAMPLES, almost_a_trace, read_or_refuse

SCRIPT = REPOSITORY / "tests" / "fuzz" / "fuzz_readers.py"
long_list = settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])


@given(data=st.binary(max_size=300))
@long_list
def test_any_bytes(tmp_path, data):
    (tmp_path / "t").write_bytes(data)
    read_or_refuse(tmp_path / "t", {})


@given(text=st.text('{}[],:"\n0123456789.-eE timestampinout_lengthrequests\\', max_size=200))
@example(text='{"timestamp":0,"input_length":1,"output_length":1,"hash_ids":' + "[" * 100_000)
@example(text='{"requests":[' * 50_000)
@example(text="[" * 1_000_000)
@example(text='[{"a":' * 100_000)
@example(text='{"input_tokens":' + "9" * 5000 + ',"output_tokens":1}')
@example(text='{"session_id":' + "9" * 5000 + ',"timestamp":1,"input_length":1,"output_length":1}')
@long_list
def test_almost_json(tmp_path, text):
    (tmp_path / "t").write_text(text)
    read_or_refuse(tmp_path / "t", {})


@given(seed=st.integers(0, 2**64), options=st.sampled_from(OPTIONS))
@long_list
def test_almost_a_trace(tmp_path, seed, options):
    (tmp_path / "t").write_bytes(almost_a_trace(random.Random(seed))[1])
    read_or_refuse(tmp_path / "t", options)


@pytest.mark.parametrize("name", SAMPLES)
def test_a_file_cut_off_anywhere(tmp_path, name):
    for end in range(len(SAMPLES[name])):
        (tmp_path / "t").write_bytes(SAMPLES[name][:end])
        read_or_refuse(tmp_path / "t", {})


def test_the_script_counts_what_it_did_and_repeats_it(tmp_path):
    command = [
        sys.executable,
        SCRIPT,
        "--seconds",
        "1",
        "--seed",
        "7",
        "--save",
        tmp_path,
        "--out",
        tmp_path / "r.json",
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "r.json").read_text() == done.stdout
    assert '"inputs": 0' not in done.stdout
    assert almost_a_trace(random.Random(7)) == almost_a_trace(random.Random(7))


def test_the_script_saves_what_failed_and_ends_with_1(tmp_path):
    """A reader that raises something else is found."""
    broken = (
        "import runpy, sys\n"
        "from warpgroup.workloads.readers import mooncake\n"
        "def fail(*_): raise KeyError('oops')\n"
        "mooncake.to_ns = fail\n"
        f"sys.argv[1:] = ['--seconds', '20', '--save', {str(tmp_path)!r}]\n"
        f"runpy.run_path({str(SCRIPT)!r}, run_name='__main__')\n"
    )
    done = subprocess.run([sys.executable, "-c", broken], capture_output=True, text=True)
    assert done.returncode == 1
    assert "KeyError: 'oops'" in done.stdout
    assert any(path.name != "current" for path in tmp_path.iterdir())
