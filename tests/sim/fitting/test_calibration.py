"""Calibration: the fit finds what the steps were made of, and what it writes is what it reads."""

import json
import pickle

import msgspec
import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.experiments import TINY_MODEL, experiment
from support.paths import RESULTS

from warpgroup.csrc import RooflineStepTime, StepWork
from warpgroup.errors import InvalidProfile
from warpgroup.experiment import geometry_of
from warpgroup.sim import AnalyticStepTime, simulate
from warpgroup.sim.fitting.least_squares import damped, non_negative
from warpgroup.sim.fitting.step_fit import COLUMNS, _Table, fit_profile, step_errors
from warpgroup.sim.step_time.profile import SCHEMA, Profile, read_profile, shipped_profile, shipped_profiles
from warpgroup.workloads import load_device, load_model

GEOMETRY = geometry_of(TINY_MODEL)
WORK = [name for name in COLUMNS if name != "duration_ns"]
STEPS = RESULTS / "h200" / "calibration"


@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(2, 40), unknowns=st.integers(1, 8))
def test_non_negative_least_squares_end_where_no_step_helps(seed, rows, unknowns):
    rng = np.random.default_rng(seed)
    columns, target = rng.normal(size=(rows, unknowns)), rng.normal(size=rows)
    found = non_negative(columns, target)
    slope = columns.T @ (target - columns @ found)
    assert (found >= 0).all()
    assert slope.max() <= 1e-6 * np.linalg.norm(target) * np.linalg.norm(columns)
    assert np.abs(slope[found > 0]).max(initial=0) <= 1e-6 * np.linalg.norm(target) * np.linalg.norm(columns)


def test_damped_least_squares_believe_evidence_and_else_zero():
    columns = np.array([[1.0, 0], [1, 0], [1, 0]])
    found = damped(columns, np.array([2.0, 2, 2]), np.array([1e-6, 1e-6]))
    assert found == pytest.approx([2, 0])


def work_of(rng: np.random.Generator) -> StepWork:
    """Any step: decoding, whole prompts, chunks, or several of these."""
    rows = int(rng.choice([0, 1, 3, 8, 20, 40, 64])) if rng.random() < 0.8 else 0
    contexts = rng.integers(10, 2000, rows)
    prompts = rng.integers(1, 600, rng.integers(0, 4)).tolist() if not rows or rng.random() < 0.4 else []
    chunk, start = (int(rng.integers(8, 500)), int(rng.integers(100, 3000))) if rng.random() < 0.2 else (0, 0)
    if not rows and not prompts and not chunk:
        prompts = [100]
    fresh = sum(n * (n + 1) // 2 for n in prompts)
    return StepWork(
        prefill_tokens=sum(prompts) + chunk,
        prefill_pairs=fresh + chunk * start + chunk * (chunk + 1) // 2,
        fresh_tokens=sum(prompts),
        fresh_pairs=fresh,
        prefill_context=sum(prompts) + (start + chunk if chunk else 0),
        decode_rows=rows,
        context_tokens=int(contexts.sum()),
        longest_context=int(contexts.max(initial=0)),
        sampled_rows=rows + len(prompts),
    )


def steps_of(model: RooflineStepTime, count: int = 1500, noise: float = 0.0, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    works = [work_of(rng) for _ in range(count)]
    durations = [model.cumulative_fs(work, 1) * (1 + noise * rng.normal()) / 1e6 for work in works]
    columns = {name: np.array([getattr(work, name) for work in works]) for name in WORK}
    return {**columns, "duration_ns": np.round(durations).astype(np.int64)}


RATES = {
    "weights_fs": 2 * 10**12,
    "token_fs": 10**10,
    "sample_fs": 10**9,
    "fresh_pair_fs": 2 * 10**7,
    "continued_pair_fs": 5 * 10**7,
    "chunk_context_fs": 10**8,
    "context_fs": 3 * 10**8,
    "swap_fs": 10**4,
    "overhead_fs": 10**12,
    "prefill_fs": 2 * 10**11,
    "mixed_fs": 10**11,
}


def test_a_model_of_the_same_form_is_found_again():
    made = steps_of(RooflineStepTime(**RATES))
    fitted = fit_profile(made, GEOMETRY)
    assert fitted.error["all"].median < 0.005
    assert fitted.error["all"].p95 < 0.03


def test_what_is_not_physics_is_found_by_the_corrections():
    odd = {
        "tokens": [(1, 0), (30, 0), (40, 10**12), (2000, 10**12)],
        "prefilled": [(100, 2 * 10**12), (1000, 0)],
        "longest": [(0, 0), (1000, 0), (2000, 10**12)],
    }
    fitted = fit_profile(steps_of(RooflineStepTime(**RATES, **odd), 3000), GEOMETRY)
    assert fitted.error["all"].median < 0.01
    assert any(abs(value) > 10**11 for _, value in fitted.corrections.longest)
    assert fitted.error["prefill up to 512 tokens"].median < 0.02


@pytest.mark.parametrize("name", ["tokens", "prefilled", "context", "longest", "fresh", "continued"])
def test_corrections_never_make_a_step_take_less_than_no_time_nor_macro_steps_another(name):
    model = RooflineStepTime(**RATES, **{name: [(1, -(10**15)), (100, 10**9), (5000, -(10**16))]})
    rng = np.random.default_rng(5)
    for work in [work_of(rng) for _ in range(300)]:
        assert model.cumulative_fs(work, 1) >= 0
        later = [model.cumulative_fs(work, steps) for steps in range(1, 6)]
        assert later == sorted(later)


def test_a_few_disturbed_steps_do_not_matter():
    made = steps_of(RooflineStepTime(**RATES), noise=0.01)
    made["duration_ns"][::50] *= 20
    calm = np.ones(len(made["duration_ns"]), dtype=bool)
    calm[::50] = False
    fitted = fit_profile(made, GEOMETRY)
    profile = profile_of(fitted)
    errors = step_errors({name: each[calm] for name, each in made.items()}, profile.step_time())
    assert errors.median < 0.02
    assert errors.total == pytest.approx(0, abs=0.02)


def test_decoding_is_filled_up_to_captured_sizes():
    sizes = [8, 24, 48, 64]
    made = steps_of(RooflineStepTime(**{**RATES, "weights_fs": 10**9}, row_sizes=sizes), 2000)
    with_sizes, without = fit_profile(made, GEOMETRY, sizes), fit_profile(made, GEOMETRY)
    assert with_sizes.corrections.row_sizes == sizes
    assert with_sizes.error["all"].p95 < without.error["all"].p95


def test_copies_that_were_measured_alone_say_what_copies_cost():
    made = steps_of(RooflineStepTime(**RATES), 200)
    more = {name: np.zeros(6, dtype=np.int64) for name in COLUMNS}
    more["swap_bytes"][:], more["duration_ns"][:] = 1000, 1000 * RATES["swap_fs"] // 10**6
    both = {name: np.concatenate([made[name], more[name]]) for name in COLUMNS}
    assert fit_profile(both, GEOMETRY).rates.swap_fs == RATES["swap_fs"]


def test_too_little_is_refused():
    made = steps_of(RooflineStepTime(**RATES), 40)
    with pytest.raises(InvalidProfile, match="40 measured steps are too few: a fit needs at least 50"):
        fit_profile(made, GEOMETRY)
    with pytest.raises(InvalidProfile, match="the steps lack longest_context"):
        fit_profile({name: each for name, each in made.items() if name != "longest_context"}, GEOMETRY)
    with pytest.raises(InvalidProfile, match="rows of several steps, as simulations have them"):
        fit_profile({**made, "steps": np.full(40, 2)}, GEOMETRY)


def test_no_kind_of_step_is_both_fitted_to_and_held_out():
    made = steps_of(RooflineStepTime(**RATES), 400)
    folds = _Table.of(made, GEOMETRY, ()).folds()
    kinds = list(zip(made["prefill_tokens"].tolist(), made["decode_rows"].tolist(), strict=True))
    assert len(set(zip(kinds, folds.tolist(), strict=True))) == len(set(kinds))
    assert set(folds) == {0, 1, 2, 3, 4}


def test_steps_that_are_all_alike_are_refused():
    made = {name: np.repeat(each[:2], 100) for name, each in steps_of(RooflineStepTime(**RATES), 60).items()}
    with pytest.raises(InvalidProfile, match="the steps are of [12] kinds only"):
        fit_profile(made, GEOMETRY)


def test_a_run_without_a_step_that_worked_has_no_errors():
    nothing = {name: np.zeros(3, dtype=np.int64) for name in COLUMNS}
    made = experiment([(0, 1, 1)])
    assert step_errors(nothing, AnalyticStepTime(made.memory.geometry, made.device)) is None


def profile_of(fitted) -> Profile:
    return Profile(
        schema=SCHEMA, model="tiny", device="cpu", attention="sdpa", source="made up", date="2026-01-01", command="",
        versions={}, rates=fitted.rates, corrections=fitted.corrections, error=fitted.error,
    )  # fmt: skip


def test_a_profile_is_read_as_it_was_written(tmp_path):
    profile = profile_of(fit_profile(steps_of(RooflineStepTime(**RATES), 300), GEOMETRY))
    profile.save(tmp_path / "profile.json")
    assert read_profile(tmp_path / "profile.json") == profile
    work = work_of(np.random.default_rng(1))
    copied = pickle.loads(pickle.dumps(profile.step_time()))
    assert copied.cumulative_fs(work, 3) == profile.step_time().cumulative_fs(work, 3)
    assert "calibrated for tiny on cpu" in copied.description


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "profile.json is not a profile"),
        (f'{{"schema": {SCHEMA}}}', "profile.json is not a profile"),
        (None, "cannot read the profile"),
    ],
)
def test_other_files_are_refused(tmp_path, content, message):
    if content is not None:
        (tmp_path / "profile.json").write_text(content)
    with pytest.raises(InvalidProfile, match=message):
        read_profile(tmp_path / "profile.json")


def test_a_profile_of_another_schema_is_refused(tmp_path):
    profile = profile_of(fit_profile(steps_of(RooflineStepTime(**RATES), 100), GEOMETRY))
    content = msgspec.to_builtins(profile)
    content["rates"]["new_fs"], content["schema"] = 1, SCHEMA + 1
    (tmp_path / "profile.json").write_bytes(msgspec.json.encode(content))
    with pytest.raises(InvalidProfile, match=f"has schema {SCHEMA + 1}, this version reads {SCHEMA}: calibrate again"):
        read_profile(tmp_path / "profile.json")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"corrections": {"tokens": [[5, 1], [3, 1]]}}, "knots do not ascend"),
        ({"corrections": {"longest": [[1 << 21, 1]]}}, "the last knot is above"),
        ({"corrections": {"row_sizes": [8, 4]}}, "row sizes do not ascend"),
        ({"error": {}}, "'all'"),
        ({"rates": {"overhead_fs": -1}}, ">= 0"),
        ({"rates": {"overhead_fs": 10**19}}, "9223372036854775807|Integer value out of range"),
    ],
)
def test_a_profile_that_cannot_be_is_refused_in_one_line(tmp_path, change, message):
    content = msgspec.to_builtins(profile_of(fit_profile(steps_of(RooflineStepTime(**RATES), 100), GEOMETRY)))
    for name, value in change.items():
        content[name] = content[name] | value if value else value
    (tmp_path / "profile.json").write_text(json.dumps(content))
    with pytest.raises(InvalidProfile, match=message) as refused:
        read_profile(tmp_path / "profile.json")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["qwen2.5-7b", "llama-3.1-8b"])
def test_the_shipped_profiles_are_what_the_committed_steps_give(name):
    tables = [pq.read_table(path) for path in sorted(STEPS.glob(f"{name}-*.parquet"))]
    steps = {column: np.concatenate([table[column].to_numpy() for table in tables]) for column in COLUMNS}
    model = load_model(name)
    shipped = shipped_profile(model, load_device("h200"))
    assert shipped is not None
    fitted = fit_profile(steps, geometry_of(model), shipped.corrections.row_sizes)
    assert fitted.error["all"].median == pytest.approx(shipped.error["all"].median, rel=0.02)
    assert fitted.rates.token_fs == pytest.approx(shipped.rates.token_fs, rel=0.01)
    errors = step_errors(steps, shipped.step_time())
    assert errors.median < 0.03
    assert abs(errors.total) < 0.02


def test_shipped_profiles_are_of_the_catalogues_models_only():
    other = msgspec.structs.replace(load_model("qwen2.5-7b"), layers=3)
    assert shipped_profile(other, load_device("h200")) is None
    assert shipped_profile(load_model("qwen2.5-7b"), load_device("l4")) is None
    made = experiment([(0, 5, 5)])
    assert "not calibrated" in simulate(made, "paged").info.scenario.step_time
    assert {profile.device for profile in shipped_profiles()} == {"h200"}


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 300),
    context=st.integers(1, 10**5),
    longest=st.integers(1, 40_000),
    steps=st.integers(1, 300),
    cut=st.integers(0, 299),
)
def test_calibrated_steps_add_up_exactly_too(rows, context, longest, steps, cut):
    model = shipped_profile(load_model("qwen2.5-7b"), load_device("h200")).step_time()

    def work(later: int) -> StepWork:
        return StepWork(
            decode_rows=rows, context_tokens=context + rows * later, longest_context=longest + later, sampled_rows=rows
        )

    cut = min(cut, steps)
    assert model.cumulative_fs(work(0), cut) + model.cumulative_fs(work(cut), steps - cut) == model.cumulative_fs(
        work(0), steps
    )
    each = [model.cumulative_fs(work(0), n + 1) - model.cumulative_fs(work(0), n) for n in range(min(steps, 20))]
    assert all(duration > 0 for duration in each)


def test_knots_must_ascend():
    with pytest.raises(ValueError, match="knots do not ascend"):
        RooflineStepTime(**RATES, tokens=[(5, 1), (5, 2)])


def test_the_analytic_model_prices_whole_prompts_and_chunks_alike():
    made = experiment([(0, 1, 1)])
    model = AnalyticStepTime(made.memory.geometry, made.device)
    fresh = StepWork(prefill_tokens=64, prefill_pairs=2080, fresh_tokens=64, fresh_pairs=2080, prefill_context=64)
    chunk = StepWork(prefill_tokens=64, prefill_pairs=2080, prefill_context=64)
    assert model.cumulative_fs(fresh, 1) == model.cumulative_fs(chunk, 1)
