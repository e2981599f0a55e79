"""The commands about requests, as a user types them."""

import json
import re
from importlib.resources import files

import pytest
from support.command_line import warpgroup

from warpgroup.workloads import read_trace

CSV = "arrived_at,num_prefill_tokens,num_decode_tokens\n" + "".join(
    f"{i * 0.25},{100 + i * 7 % 900},{1 + i * 13 % 60}\n" for i in range(400)
)


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.csv").write_text(CSV)
    (tmp_path / "there.parquet").touch()
    (tmp_path / "bad.csv").write_text(CSV + "100.0,-5,3\n101.0,7,0\n")
    return tmp_path


def inspected(name: str, *more: str) -> dict:
    done = warpgroup("trace", "inspect", name, "--json", *more)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_what_was_converted_is_the_same_trace(place):
    assert warpgroup("trace", "convert", "t.csv", "-o", "t.parquet").returncode == 0
    before, after = inspected("t.csv"), inspected("t.parquet")
    assert before == after


def test_a_page_is_written_beside_what_is_said(place):
    done = warpgroup("trace", "inspect", "t.csv", "--html", "a.html", "--model", "llama-2-7b")
    assert done.returncode == 0, done.stderr
    assert "page: a.html" in done.stderr
    assert "arrivals: 4.00 /s" in done.stdout
    written = (place / "a.html").read_bytes()
    assert b"t.csv" in written
    refused = warpgroup("trace", "inspect", "t.csv", "--html", "a.html")
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "a.html exists: choose another --html, or --force" in refused.stderr
    again = warpgroup("trace", "inspect", "t.csv", "--html", "a.html", "--model", "llama-2-7b", "--force", "--json")
    assert json.loads(again.stdout)["over_context"] == 0
    assert (place / "a.html").read_bytes() == written


def test_shared_prefixes_are_found_and_kept(place):
    rows = [{"timestamp": i, "input_length": 1024, "output_length": 1, "hash_ids": [0, i + 1]} for i in range(9)]
    (place / "m.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert warpgroup("trace", "convert", "m.jsonl", "-o", "m.parquet").returncode == 0
    found = inspected("m.parquet")["summary"]["prefix"]
    assert (found["hit"], found["used_once"], found["block_tokens"]) == (8 / 18, 9 / 10, 512)
    assert inspected("m.jsonl")["summary"]["prefix"] == found


def test_changes_are_made_and_said(place):
    done = warpgroup(
        *("trace", "convert", "t.csv", "-o", "t.parquet", "--end-s", "50", "--head", "100", "--rate-scale", "2"),
        *("--shuffle", "lengths", "--seed", "3"),
    )
    assert done.returncode == 0, done.stderr
    found = inspected("t.parquet")
    assert found["summary"]["requests"] == 100
    assert found["summary"]["span_s"] == pytest.approx(99 * 0.125)
    assert found["source"]["transforms"]


def test_validate_says_what_is_wrong_and_fails(place):
    assert warpgroup("trace", "validate", "t.csv").returncode == 0
    done = warpgroup("trace", "validate", "bad.csv")
    assert done.returncode == 1
    assert "prompt tokens negative" in done.stderr
    assert "output tokens zero" in done.stderr
    assert warpgroup("trace", "validate", "bad.csv", "--zero-outputs", "prefill-only").returncode == 1


def test_strict_refuses_in_one_line(place):
    done = warpgroup("trace", "inspect", "bad.csv", "--strict")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1


def test_a_table_of_no_known_format_is_read_by_its_columns(place):
    (place / "own.csv").write_text("when,in,out\n0,5,6\n1500,7,8\n")
    found = inspected("own.csv", "--columns", "arrival=when,prompt=in,output=out", "--time-unit", "ms")
    assert found["summary"]["span_s"] == 1.5
    assert found["summary"]["prompt_tokens"]["max"] == 7


def test_a_meaning_that_is_given_two_columns_is_refused(place):
    done = warpgroup("trace", "inspect", "t.csv", "--columns", "prompt=in,prompt=out")
    assert done.returncode == 2
    assert "--columns: 'prompt' is given twice: leave one" in done.stderr


def test_a_model_is_fitted_and_makes_traces_like_its_own(place):
    done = warpgroup("trace", "fit", "t.csv", "-o", "m.json")
    assert done.returncode == 0, done.stderr
    assert "prompt tokens" in done.stdout
    for name in ("a.parquet", "b.parquet"):
        assert warpgroup("trace", "generate", "m.json", "-o", name, "--requests", "300").returncode == 0
    assert (place / "a.parquet").read_bytes() == (place / "b.parquet").read_bytes()
    made, real = inspected("a.parquet")["summary"], inspected("t.csv")["summary"]
    assert made["requests"] == 300
    assert made["prompt_tokens"]["mean"] == pytest.approx(real["prompt_tokens"]["mean"], rel=0.2)
    assert made["rate_s"] == pytest.approx(real["rate_s"], rel=0.2)


def test_sessions_are_fitted_and_made_again(place):
    made = warpgroup("trace", "generate", "claude-code", "-o", "c.parquet", "--requests", "400", "--seed", "1")
    assert made.returncode == 0, made.stderr
    done = warpgroup("trace", "fit", "c.parquet", "-o", "m.json")
    assert done.returncode == 0, done.stderr
    assert "400 requests in " in done.stdout
    assert "think time between turns" in done.stdout
    model = json.loads((place / "m.json").read_text())
    assert (model["mixture"], model["arrivals"]) == (None, None)
    assert model["sessions"]["limit"]["value"][-1] == model["clip"][0]


def test_a_request_too_long_for_a_model_is_counted_dropped_or_clipped(place):
    (place / "long.csv").write_text("arrived_at,num_prefill_tokens,num_decode_tokens\n0,5000,10\n1,50,10\n")
    assert inspected("long.csv", "--model", "llama-2-7b")["over_context"] == 1
    for how, requests in (("drop", 1), ("clip", 2)):
        done = warpgroup(
            *("trace", "convert", "long.csv", "-o", f"{how}.parquet", "--fit-context", how, "--model", "llama-2-7b")
        )
        assert done.returncode == 0, done.stderr
        found = inspected(f"{how}.parquet", "--model", "llama-2-7b")
        assert (found["summary"]["requests"], found["over_context"]) == (requests, 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("convert", "t.csv", "-o", "there.parquet"), "there.parquet exists"),
        (("convert", "t.csv", "-o", "t.csv"), "-o t.csv: expected a name that ends in .parquet, not .csv"),
        (("convert", "t.csv", "-o", "no/t.parquet"), "no is not a folder"),
        (("convert", "t.csv", "-o", "x.parquet", "--fit-context", "cut"), "expected clip or drop"),
        (("convert", "t.csv", "-o", "x.parquet", "--fit-context", "clip"), "needs --model"),
        (("convert", "t.csv", "-o", "x.parquet", "--shuffle", "all"), "expected pairs or lengths"),
        (("inspect", "t.csv", "--zero-outputs", "keep"), "expected drop or prefill-only"),
        (("generate", "nobody", "-o", "x.parquet"), "nobody"),
    ],
)
def test_bad_input_gets_one_line(place, arguments, message):
    done = warpgroup("trace", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_scenario_is_shown_whole(place):
    done = warpgroup("scenarios", "show", "chat-24")
    assert done.returncode == 0, done.stderr
    assert "kv_budget_tokens" in done.stdout
    assert json.loads(warpgroup("scenarios", "show", "chat-24", "--json").stdout)["name"] == "chat-24"
    assert "chat-24" in warpgroup("scenarios").stdout
    assert warpgroup("scenarios", "show", "chat-23").returncode == 2
    built_in = (files("warpgroup.workloads") / "scenarios" / "chat-24.toml").read_text()
    (place / "mine.toml").write_text(
        re.sub("(?m)^policies = .*$", "", built_in).replace("model =", 'policies = ["nope"]\nmodel =', 1)
    )
    refused = warpgroup("scenarios", "show", "mine.toml")
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "scenario mine.toml: policies: unknown policy 'nope'" in refused.stderr


def test_the_share_of_a_mix_is_the_other_traces_and_options_without_their_partners_are_refused(place):
    other = "arrived_at,num_prefill_tokens,num_decode_tokens\n" + "".join(f"{i * 0.25},9000,5\n" for i in range(400))
    (place / "other.csv").write_text(other)
    done = warpgroup("trace", "convert", "t.csv", "-o", "mix.parquet", "--mix", "other.csv", "--share", "0.2")
    assert done.returncode == 0, done.stderr
    trace = read_trace(place / "mix.parquet")
    assert (trace.prompt_tokens == 9000).mean() == pytest.approx(0.2, abs=0.02)
    for option, value, partner in (("--share", "0.2", "--mix"), ("--model", "llama-3-8b", "--fit-context")):
        refused = warpgroup("trace", "convert", "t.csv", "-o", "x.parquet", option, value)
        assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
        assert f"{option} needs {partner}" in refused.stderr
