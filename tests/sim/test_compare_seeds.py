"""The same policies under several seeds: what a seed changes, and where its runs go."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.experiments import experiment, trace

from warpgroup.cli.experiments import experiment_from, replicate
from warpgroup.cli.options import Options
from warpgroup.csrc import parse_policies
from warpgroup.experiment import Experiment
from warpgroup.records import read_info, read_run
from warpgroup.records.outcome import restore
from warpgroup.sim import compare, simulate
from warpgroup.sim.tasks import plan_tasks
from warpgroup.workloads import reshuffled

MS = 1_000_000
POLICIES = "count-static,paged"
NAMES = ["count-static", "count-static-n32", "paged"]


def little() -> Experiment:
    return replace(experiment([(i * MS, 20 + i % 90, 1 + i % 37) for i in range(60)], kv_blocks=40), seed=4)


def reshuffled_once() -> Experiment:
    first = little()
    return replace(first, trace=reshuffled(first.trace, 5), seed=5)


def harder() -> Experiment:
    """Another draw, with requests so long that the first seed's count does not fit."""
    return replace(little(), trace=trace([(i * MS, 150, 90) for i in range(60)]), seed=6)


def seeds(out: Path, **options) -> list[Path]:
    policies = parse_policies(POLICIES)
    return compare(
        little(), policies, out, replicates=[reshuffled_once(), harder()], command="warpgroup compare", **options
    )


@pytest.fixture(scope="module")
def out(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("seeds")
    assert seeds(folder, workers=2) == [folder / seed / name for seed in ("", "seed-5", "seed-6") for name in NAMES]
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_number_of_workers_changes_no_byte(out, tmp_path):
    seeds(tmp_path, workers=1)
    assert files(tmp_path) == files(out)


def test_policies_of_a_seed_see_the_same_requests_and_other_seeds_others(out):
    hashes = [{read_info(out / seed / name).scenario.trace.content_hash for name in NAMES} for seed in ("", "seed-5")]
    assert [len(each) for each in hashes] == [1, 1]
    assert hashes[0] != hashes[1]
    assert [read_info(out / seed / "paged").seed for seed in ("", "seed-5", "seed-6")] == [4, 5, 6]


def test_a_count_is_searched_on_the_first_seed_alone_and_its_failures_elsewhere_are_published(out):
    first, second, third = (read_info(out / seed / "count-static") for seed in ("", "seed-5", "seed-6"))
    assert "simulated on this trace" in first.note
    assert {first.policy, second.policy, third.policy} == {first.policy}
    assert second.note == third.note == f"{first.policy} was searched on seed 4, not on these requests"
    assert first.summary["ooms"] == 0
    assert third.summary["ooms"] > 0
    assert third.complete


def test_resuming_makes_what_is_missing_and_does_not_search_again(out, tmp_path):
    shutil.copytree(out, tmp_path, dirs_exist_ok=True)
    whole, missing = files(tmp_path), ("seed-5/count-static", "seed-6/paged")
    for folder in missing:
        shutil.rmtree(tmp_path / folder)
    said: list[tuple[str, str]] = []
    seeds(tmp_path, workers=1, resume=True, on_progress=lambda name, doing, *_: said.append((name, doing)))
    assert {name for name, _ in said} == set(missing)
    assert not any("trying" in doing for _, doing in said)
    assert files(tmp_path) == whole


def test_after_an_interruption_nothing_more_is_begun(tmp_path):
    def interrupt(*_):
        raise KeyboardInterrupt

    many = [replace(little(), seed=seed) for seed in range(10, 110)]
    with pytest.raises(KeyboardInterrupt):
        compare(little(), parse_policies("paged"), tmp_path, replicates=many, workers=1, on_progress=interrupt)
    assert 1 <= len(list(tmp_path.rglob("run.json"))) < 50


def test_a_record_of_reshuffled_requests_says_so_and_can_be_run_again(out):
    recorded = read_run(out / "seed-5" / "paged")
    assert recorded.info.scenario.trace.transforms == ("reshuffled, seed 5",)
    again, policy = restore(recorded)
    assert again.trace.source.transforms == recorded.info.scenario.trace.transforms
    assert simulate(again, policy).info.plan_hash == recorded.info.plan_hash


@pytest.fixture
def lengths(tmp_path) -> Path:
    path = tmp_path / "lengths.csv"
    path.write_text("num_prefill_tokens,num_decode_tokens\n" + "".join(f"{100 + i},{10 + i}\n" for i in range(30)))
    return path


def test_where_something_is_drawn_a_replicate_is_what_its_seed_gives(lengths):
    for options in (Options(scenario="tight-24"), Options(trace=lengths, arrivals="poisson:2", rate_scale=3.0)):
        first, _ = experiment_from(options)
        other, alone = replicate(first, options, 7), experiment_from(replace(options, seed=7))[0]
        assert (other.trace.content_hash, other.arrivals) == (alone.trace.content_hash, alone.arrivals)
        assert other.seed == 7
        assert other.trace.content_hash != first.trace.content_hash


def test_where_nothing_is_drawn_a_replicate_reshuffles_the_requests(lengths):
    options = Options(trace=lengths, arrivals="at-zero")
    first, _ = experiment_from(options)
    other = replicate(first, options, 7)
    assert (other.arrivals, other.trace.source.transforms) == ("at-zero", ("reshuffled, seed 7",))
    assert np.array_equal(other.trace.arrival_ns, first.trace.arrival_ns)
    assert not np.array_equal(other.trace.prompt_tokens, first.trace.prompt_tokens)
    assert sorted(other.trace.prompt_tokens) == sorted(first.trace.prompt_tokens)


@pytest.mark.parametrize("order", ["count-static,count-static(n=32)", "count-static(n=32),count-static"])
def test_the_count_that_is_shown_is_run_once_though_it_is_asked_for_too(order):
    assert [task.folder for task in plan_tasks(parse_policies(order))] == ["count-static", "count-static-n32"]
