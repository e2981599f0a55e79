"""Calibration on the CPU: every kind of step of the grid is measured."""

import msgspec
import numpy as np
import pytest

from warpgroup.errors import OverBudget
from warpgroup.experiment import Limits, geometry_of
from warpgroup.runtime import calibrate, choose_attention, open_machine
from warpgroup.runtime.calibration.step_grid import GridPoint, different_lengths, grid
from warpgroup.sim.fitting.steps import COLUMNS, fit
from warpgroup.workloads import load_model

CPU, TINY = open_machine("cpu"), load_model("tiny")
LIMITS = {"step_tokens": 1024, "seats": 64, "cached_tokens": 90_000, "longest": 14_000}


@pytest.fixture(scope="module")
def measured():
    told: list[tuple[int, int]] = []
    found = calibrate(
        TINY,
        CPU,
        attention=choose_attention("auto", CPU, TINY),
        limits=Limits(step_tokens=320, max_seqs=8),
        on_point=lambda *now: told.append(now),
    )
    assert told[-1][0] == told[-1][1] == len(told)
    return found


def test_it_measures_decoding_whole_prompts_chunks_and_mixtures(measured):
    steps = measured.steps
    prefills, decodes = steps["prefill_tokens"] > 0, steps["decode_rows"] > 0
    fresh = steps["fresh_tokens"] > 0
    for kind in (decodes & ~prefills, fresh & ~decodes, prefills & ~fresh & ~decodes, fresh & decodes):
        assert kind.any()
    assert (steps["duration_ns"] > 0).all()
    assert set(steps) == set(COLUMNS)
    assert (steps["longest_context"] <= steps["context_tokens"]).all()
    assert (steps["context_tokens"] <= steps["longest_context"] * steps["decode_rows"]).all()


def test_a_profile_can_be_fitted_to_it(measured):
    fitted = fit(measured.steps, geometry_of(TINY), measured.row_sizes)
    assert fitted.error["all"].steps == (measured.steps["prefill_tokens"] + measured.steps["decode_rows"] > 0).sum()
    # Which rates are above 0 is up to the noise of a shared machine; that time passes is not.
    assert any(rate > 0 for rate in msgspec.structs.astuple(fitted.rates))


def test_a_cap_under_which_no_step_fits_is_refused():
    with pytest.raises(OverBudget, match="no step of the grid fits into memory: raise --vram"):
        calibrate(TINY, CPU, attention=choose_attention("auto", CPU, TINY), limits=Limits(vram_bytes=5_922_816))


def test_points_keep_to_the_engines_limits():
    points = [*grid(**LIMITS)]
    assert len(points) > 60
    for point in points:
        assert point.step_tokens <= LIMITS["step_tokens"]
        assert point.cached_tokens <= LIMITS["cached_tokens"]
        assert point.rows + point.prompts <= LIMITS["seats"]
    assert any(point.longest for point in points)
    assert any(point.decoding_between for point in points)


@pytest.mark.parametrize("rows", [1, 7, 200])
def test_caches_have_different_lengths_and_the_wanted_mean(rows):
    lengths = different_lengths(GridPoint(rows, 1000), np.random.default_rng(0))
    assert len(lengths) == rows
    assert np.mean(lengths) == pytest.approx(1000, rel=0.01)
    assert max(lengths) <= 4000
    assert rows == 1 or np.std(lengths) > 100
