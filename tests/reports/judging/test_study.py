"""What belongs together in a report."""

from collections import Counter
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from warpgroup.errors import InvalidRun
from warpgroup.records import Run, RunInfo, write_run
from warpgroup.records.requests import requests_of
from warpgroup.records.sweep import Sweep, write_sweep
from warpgroup.reports.judging.study import read_study

Replaced = msgspec.structs.replace


def drawn(info: RunInfo, seed: int, **trace) -> RunInfo:
    """As another seed would have it, but for its requests."""
    changed = {"over_context": seed, **trace}
    scenario = Replaced(info.scenario, trace=Replaced(info.scenario.trace, **changed))
    return Replaced(info, seed=seed, scenario=scenario)


def written(folder: Path, run: Run, info: RunInfo) -> None:
    """The run under another record, whose seed has drawn requests of its own."""
    requests = run.requests | {"prompt_tokens": run.requests["prompt_tokens"] + info.seed}
    trace = info.scenario.trace
    content = requests_of(Run(info, requests, run.steps, run.events)).content_hash
    scenario = Replaced(info.scenario, trace=Replaced(trace, content_hash=content))
    write_run(folder, Run(Replaced(info, scenario=scenario), requests, run.steps, run.events))


@pytest.fixture
def write(tmp_path, runs):
    """Writes a run as a policy's on a seed, changed at will; `whole=False`: `run.json` alone."""

    def build(folder: str, policy: str, seed: int, change=lambda info: info, *, whole: bool = True) -> Path:
        info = change(Replaced(drawn(runs[3].info, seed), policy=policy))
        written(tmp_path / folder, runs[3], info)
        if not whole:
            for path in (tmp_path / folder).glob("*.parquet"):
                path.unlink()
        return tmp_path / folder

    return build


def seeds_of(study) -> list[tuple[str, list[int]]]:
    return [(group[0].policy, [info.seed for info in group]) for group in study.replicates]


def test_seeds_of_a_comparison_come_together_and_only_the_first_is_read_whole(tmp_path, write):
    for seed, place in ((4, "."), (5, "seed-5"), (10, "seed-10")):
        for policy in ("count-static(n=2)", "paged"):
            write(f"{place}/{policy}", policy, seed, whole=seed == 4)
    study = read_study([tmp_path])
    assert seeds_of(study) == [("count-static(n=2)", [4, 5, 10]), ("paged", [4, 5, 10])]
    assert [run.info.seed for run in study.runs] == [4, 4]
    assert study.ablation == study.sweeps == []


def test_what_a_seed_draws_does_not_keep_replicates_apart(tmp_path, write):
    def generated(info):
        sha, repaired = f"file {info.seed}", {"clipped": info.seed}
        return drawn(info, info.seed, format="generated", file_sha256=sha, repaired=repaired, waiting=info.seed)

    def reshuffled(info, word="reshuffled"):
        if info.seed == 0:
            return drawn(info, 0, transforms=("rate x2",))
        return drawn(info, info.seed, transforms=("rate x2", f"{word}, seed 1"))

    def of_clients(info):
        counts = {"rows_read": 9 + info.seed, "dropped": {"output_tokens_zero": info.seed}}
        return drawn(
            info, info.seed, format="servegen", transforms=(f"drawn from 2 clients, seed {info.seed}",), **counts
        )

    def reshuffled_in_an_older_record(info):
        return reshuffled(info, word="dealt anew")

    changes = {
        "paged": generated,
        "ffd": reshuffled,
        "first-fit": reshuffled_in_an_older_record,
        "skyline": of_clients,
    }
    for policy, change in changes.items():
        for seed in (0, 1):
            write(f"{policy}-{seed}", policy, seed, change)
    assert sorted(seeds_of(read_study([tmp_path]))) == sorted((policy, [0, 1]) for policy in changes)


def device(info):
    return Replaced(info, scenario=Replaced(info.scenario, device="another"))


def rate(info):
    return drawn(info, info.seed, arrivals="poisson:9")


def file(info):
    return drawn(info, info.seed, file_sha256="another")


def real(info):
    return Replaced(info, kind="real")


def limits(info):
    inputs = info.scenario.inputs
    scenario = Replaced(info.scenario, inputs=Replaced(inputs, limits=Replaced(inputs.limits, max_seqs=3)))
    return Replaced(info, scenario=scenario)


@pytest.mark.parametrize("change", [device, rate, file, real, limits])
def test_runs_that_differ_in_more_than_the_seed_are_not_replicates(tmp_path, write, change):
    write("a", "paged", 0)
    write("b", "paged", 1, change)
    assert seeds_of(read_study([tmp_path])) == [("paged", [0]), ("paged", [1])]


def test_the_same_seed_twice_is_two_runs_each_with_its_own_replicates(write):
    for place in ("old", "new"):
        for seed in (0, 1):
            where = "" if seed == 0 else "seed-1/"
            write(f"{place}/{where}paged", "paged", seed, lambda info, place=place: Replaced(info, command=place))
    old = write("old/paged", "paged", 0, lambda info: Replaced(info, command="old")).parent
    study = read_study([old, old.parent / "new"])
    assert seeds_of(study) == [("paged", [0, 1]), ("paged", [0, 1])]
    assert [{info.command for info in group} for group in study.replicates] == [{"old"}, {"new"}]


def test_runs_of_an_ablation_are_in_their_order_and_are_not_compared(tmp_path, write):
    write("paged", "paged", 0)
    for number, policy in ((10, "skyline"), (2, "paged"), (0, "count-static(n=2)")):
        write(f"attribution/{number:02}-step", policy, 0)
    study = read_study([tmp_path])
    assert seeds_of(study) == [("paged", [0])]
    assert [run.info.policy for run in study.ablation] == ["count-static(n=2)", "paged", "skyline"]


def test_a_sweep_is_beside_the_runs(tmp_path, write, runs):
    swept = Sweep(runs[0].info.scenario, [1.0], [0], 0.9, True, [], {}, "warpgroup sweep")
    (tmp_path / "sweep").mkdir()
    write_sweep(tmp_path / "sweep", swept)
    study = read_study([write("run", "paged", 3), tmp_path / "sweep"])
    assert (seeds_of(study), study.sweeps) == ([("paged", [3])], [swept])
    write("sweep/paged", "paged", 4)
    both = read_study([tmp_path / "sweep"])
    assert (seeds_of(both), both.sweeps) == ([("paged", [4])], [swept])


def test_a_run_folder_is_a_study_of_one(write):
    study = read_study([write("run", "paged", 3)])
    assert [run.info.policy for run in study.runs] == ["paged"]
    assert study.replicates == [[study.runs[0].info]]


@pytest.mark.parametrize("what", ["missing", "empty", "file"])
def test_a_path_without_a_run_is_named(tmp_path, what):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidRun, match=what):
        read_study([tmp_path / what])


KINDS = [("paged", "simulated"), ("paged", "real"), ("ffd", "simulated")]


@pytest.fixture(scope="module")
def pool(tmp_path_factory, runs) -> dict[Path, tuple[str, str, int]]:
    folder, made = tmp_path_factory.mktemp("pool"), {}
    for policy, kind in KINDS:
        for seed in range(3):
            path = folder / f"{policy}-{kind}-{seed}"
            info = Replaced(drawn(runs[3].info, seed), policy=policy, kind=kind)
            written(path, runs[3], info)
            made[path] = (policy, kind, seed)
    return made


@pytest.mark.parametrize("place", ["", "skyline", "seed-1/paged", "attribution/01-paged"])
@pytest.mark.parametrize("left", ["requests.parquet", "steps.parquet.part"])
def test_a_run_that_has_lost_its_record_is_named_wherever_it_is(tmp_path, write, place, left):
    write("g/paged", "paged", 0)
    (tmp_path / "g" / place).mkdir(parents=True, exist_ok=True)
    (tmp_path / "g" / place / left).touch()
    with pytest.raises(InvalidRun) as caught:
        read_study([tmp_path / "g"])
    assert str(caught.value) == f"{tmp_path / 'g' / place} has {left}, but no run.json: run it again, or delete it"


def test_the_same_folder_twice_is_one_run(tmp_path, write):
    folder = write("g/paged", "paged", 0)
    write("g/ffd", "ffd", 0)
    paths = [folder, folder.parent, folder / ".." / "paged", folder.parent]
    assert seeds_of(read_study(paths)) == [("paged", [0]), ("ffd", [0])]


@settings(max_examples=25)
@given(st.data())
def test_every_run_is_in_one_group_and_a_group_has_every_seed_once(pool, data):
    paths = data.draw(st.lists(st.sampled_from(list(pool)), min_size=1, max_size=8))
    study, paths = read_study(paths), list(dict.fromkeys(paths))
    found = [(info.policy, info.kind, info.seed) for group in study.replicates for info in group]
    assert Counter(found) == Counter(pool[path] for path in paths)
    for run, group in zip(study.runs, study.replicates, strict=True):
        assert run.info == group[0]
        assert len({(info.policy, info.kind) for info in group}) == 1
        assert [info.seed for info in group] == sorted({info.seed for info in group})
    needed = [max(Counter(found)[(*kind, seed)] for seed in range(3)) for kind in KINDS]
    assert len(study.runs) == sum(needed)


def test_what_an_earlier_comparison_left_of_other_seeds_is_no_run_of_this_one(tmp_path, write):
    write("paged", "paged", 0)
    write("seed-1/paged", "paged", 1, lambda info: Replaced(info, scenario=Replaced(info.scenario, device="h200")))
    write("seed-1/ffd", "ffd", 1)
    write("seed-2/paged", "paged", 2)
    assert seeds_of(read_study([tmp_path])) == [("paged", [0, 2])]
