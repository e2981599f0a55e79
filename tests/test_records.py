"""The run folder: written whole or marked incomplete, read back as it was."""

import signal

import msgspec
import numpy as np
import pytest
from support.experiments import experiment

from warpgroup.csrc import parse_policy
from warpgroup.errors import InvalidRun, OutputRefused
from warpgroup.records import Run, claim_folder, read_info, read_run, write_run
from warpgroup.sim import simulate


@pytest.fixture(scope="module")
def run() -> Run:
    rows = [(i * 1000, 20 + i % 50, 1 + i % 30) for i in range(60)]
    return simulate(experiment([*rows, (10**6, 900, 5)], kv_blocks=10), parse_policy("paged"))


def test_a_run_is_read_back_as_it_was_written(tmp_path, run):
    write_run(tmp_path, run)
    back = read_run(tmp_path)
    assert back.info == run.info
    for name in ("requests", "steps", "events"):
        written, read = getattr(run, name), getattr(back, name)
        assert list(written) == list(read)
        for column, values in written.items():
            assert np.array_equal(values, read[column]), column


def test_the_columns_that_others_rely_on_are_there(run):
    assert set(run.requests) >= set(
        "id arrival_ns prompt_tokens output_tokens max_new_tokens status reason admitted_ns first_token_ns finish_ns "
        "preemptions recomputed_tokens".split()
    )
    assert set(run.steps) >= set(
        "plan_ns start_ns duration_ns steps prefill_tokens decode_rows context_tokens kv_bytes vram_used_bytes "
        "vram_budget_bytes reserved_bytes predicted_bytes fragmented_bytes blocked_by waiting running ticket "
        "event".split()
    )
    assert set(run.events) >= {"t_ns", "request", "event", "bytes"}
    assert set(run.info.summary) >= set(
        "policy requests finished rejected failed aborted makespan_s total_tok_s output_tok_s goodput_req_s ttft_s "
        "tpot_s e2e_s itl_s wait_s slo ooms preemptions recompute_tax peak_vram_bytes vram_budget_bytes mean_kv_use "
        "padding_waste memory_bound_share running_mean running_max".split()
    )


def test_other_tools_see_words_and_not_codes(tmp_path, run):
    import pyarrow.parquet as pq

    write_run(tmp_path, run)
    status = pq.read_table(tmp_path / "requests.parquet")["status"].to_pylist()
    assert (status[0], status[-1]) == ("finished", "rejected")


def test_run_json_has_sorted_keys_and_names_what_made_it(tmp_path, run):
    write_run(tmp_path, run)
    raw = msgspec.json.decode((tmp_path / "run.json").read_bytes())
    assert list(raw) == sorted(raw)
    assert {"warpgroup", "python", "numpy", "simpy"} <= set(raw["versions"])
    assert raw["complete"] is True


def test_a_run_that_was_cut_off_while_writing_never_looks_whole(tmp_path, run, monkeypatch):
    import pyarrow.parquet as pq

    write = pq.write_table

    def full_disk(table, path, **options):
        if "steps" in str(path):
            raise OSError(28, "No space left on device")
        write(table, path, **options)

    monkeypatch.setattr(pq, "write_table", full_disk)
    with pytest.raises(OutputRefused, match="No space left on device"):
        write_run(tmp_path, run)
    assert read_info(tmp_path).complete is False
    with pytest.raises(InvalidRun, match="steps.parquet"):
        read_run(tmp_path)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "run.json").unlink(), "it has no run.json"),
        (lambda f: (f / "run.json").write_text("{"), "is not a run record"),
        (lambda f: (f / "run.json").write_text("{}"), "is not a run record"),
        (lambda f: (f / "steps.parquet").write_bytes(b"PAR1"), "cannot read"),
        (lambda f: (f / "events.parquet").unlink(), "cannot read"),
    ],
)
def test_a_damaged_run_is_refused_in_one_line(tmp_path, run, damage, message):
    write_run(tmp_path, run)
    damage(tmp_path)
    with pytest.raises(InvalidRun) as caught:
        read_run(tmp_path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_newer_schema_is_refused(tmp_path, run):
    write_run(tmp_path, Run(msgspec.structs.replace(run.info, schema=99), run.requests, run.steps, run.events))
    with pytest.raises(InvalidRun, match="schema 99, this version reads up to 1: update warpgroup"):
        read_run(tmp_path)


def test_a_folder_is_claimed_only_if_it_is_free(tmp_path):
    claim_folder(tmp_path / "new")
    (tmp_path / "new" / "file").touch()
    with pytest.raises(OutputRefused, match="is not empty: choose another --out, or --force"):
        claim_folder(tmp_path / "new")
    claim_folder(tmp_path / "new", force=True)
    claim_folder(tmp_path / "new", resume=True)
    with pytest.raises(OutputRefused, match="cannot write to"):
        claim_folder(tmp_path / "new" / "file")


def test_an_interrupt_while_writing_waits_until_the_folder_is_whole(tmp_path, run, monkeypatch):
    import pyarrow.parquet as pq

    write_table = pq.write_table

    def interrupted(*arguments, **options):
        signal.raise_signal(signal.SIGINT)
        write_table(*arguments, **options)

    monkeypatch.setattr(pq, "write_table", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_run(tmp_path, run)
    assert read_run(tmp_path).info == run.info
