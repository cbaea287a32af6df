"""Ensembles of fields: exact means, seeds, gaps, and the score in the unit."""

import json
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import xarray
from scipy.special import log_ndtr
from scipy.stats import norm
from small_fields import RAIN, field, fresh, model_of, rain

import caflow_cli as caflow
from caflow_cli.config import Values
from caflow_cli.errors import CaflowError
from caflow_cli.fields.project import means_of, repeated
from caflow_cli.fields.scale import scale_of
from caflow_cli.images.values import Unit

KELVIN = Values("K", "linear", 220, 320)
ZERO = np.float32(0.1)


def coarse_of(fine):
    return means_of(fine.astype(np.float64), 4).astype(np.float32)


def test_members_have_exact_means_in_order_of_seed():
    coarse = coarse_of(rain(6, 5))
    found = caflow.restore(model_of(), coarse, candidates=3, seed=7)
    assert found.values.shape == (3, 24, 20)
    assert found.values.dtype == np.float32
    for values in found.values:
        error = np.abs(means_of(values.astype(np.float64), 4) - coarse)
        assert (error <= 2.0**-22 * coarse).all()
        assert ((values == 0) | (values >= ZERO)).all()
    assert [member.seed for member in found.drawn] == [7, 8, 9]
    assert len({member.image.tobytes() for member in found.drawn}) == 3
    alone = caflow.restore(model_of(), coarse, candidates=1, seed=8)
    np.testing.assert_allclose(alone.values[0], found.values[1], rtol=1e-5)
    json.dumps(found.as_json(), allow_nan=False)


def test_a_members_score_is_that_of_its_field():
    model, coarse = model_of(), coarse_of(rain(4, 5))
    found = caflow.restore(model, coarse, candidates=2)
    for member in found.drawn:
        assert caflow.score(model, coarse, field(member.image)) == member.score
        assert member.score.wet == (member.image > 0).sum()
        assert member.score.wet + member.score.dry == member.image.size


def test_the_best_by_likelihood_are_kept_only_if_fewer_are_asked_for():
    found = caflow.restore(model_of(), coarse_of(rain(4, 4)), candidates=4, keep=2)
    scores = [member.score.log_likelihood for member in found.kept]
    assert scores == sorted((m.score.log_likelihood for m in found.drawn), reverse=True)[:2]
    found = caflow.restore(model_of(), coarse_of(rain(4, 4)), candidates=3, keep=3)
    assert [member.k for member in found.kept] == [0, 1, 2]


def censored(fine, values, step=0.0):
    """The censored normal likelihood of a field around the bicubic one, in the unit, by SciPy."""
    zero = values.zero
    means = means_of(fine.astype(np.float64), 4).astype(np.float32)
    g = scale_of(values).levels(means, 16)
    edge = torch.from_numpy(np.maximum(np.where(np.isneginf(g), -5, g), -5))[None, None]
    m = F.interpolate(edge, scale_factor=4, mode="bicubic")[0, 0].numpy()
    known = repeated(np.isneginf(g), 4)
    if zero is None:
        slope = math.log(30 / (values.high - values.low))
        return (norm.logpdf(scale_of(values).levels(fine), m, 3) + slope).sum()
    wet = fine >= np.float32(zero)
    x = np.where(wet, fine, 1).astype(np.float64)
    density = norm.logpdf(10 * np.log10(x / zero), m, 3) + np.log(10 / math.log(10) / x)
    return np.where(known, 0, np.where(wet, density, log_ndtr(-m / 3))).sum()


def test_with_the_identity_as_flow_the_score_is_the_censored_likelihood():
    fine = rain(6, 4)
    assert (coarse_of(fine) == 0).any()
    score = caflow.score(fresh().double(), coarse_of(fine), field(fine))
    assert score.log_likelihood == pytest.approx(censored(fine, RAIN), abs=1e-6)
    assert score.standard_error is None
    warm = np.random.default_rng(2).normal(270, 20, (24, 16)).astype(np.float32)
    coarse = field(means_of(warm.astype(np.float64), 4).astype(np.float32))
    score = caflow.score(fresh(KELVIN).double(), coarse, field(warm))
    assert score.log_likelihood == pytest.approx(censored(warm, KELVIN), abs=1e-6)
    assert (score.wet, score.dry, score.unit) == (24 * 16, 0, "K")


def test_a_score_averages_over_the_noise_of_dry_cells():
    """Their values do not matter."""
    model = model_of()
    fine = rain(4, 4)
    coarse = coarse_of(fine)
    single = caflow.score(model, coarse, field(fine))
    several = caflow.score(model, coarse, field(fine), noise_samples=5)
    assert several.standard_error > 0
    assert several.log_likelihood != single.log_likelihood
    drizzle = np.where(fine == 0, np.float32(0.04), fine)
    assert caflow.score(model, coarse, field(drizzle), noise_samples=5) == several


@pytest.mark.parametrize(("step", "step_in"), [(0.4, "linear"), (3.0, "db")])
def test_a_score_is_a_mean_over_the_steps_of_the_data(step, step_in):
    """With the identity as flow, it is the mean log-density of values spread over their steps."""
    fine = rain(4, 4)
    coarse = coarse_of(fine)
    model = fresh().double()
    target = field(fine, "mm/h", step, step_in)
    score = caflow.score(model, coarse, target, noise_samples=64)
    g = scale_of(RAIN).levels(coarse, 16)
    edge = torch.from_numpy(np.maximum(np.where(np.isneginf(g), -5, g), -5))[None, None]
    m = F.interpolate(edge, scale_factor=4, mode="bicubic")[0, 0].numpy()
    grid = (np.arange(200) + 0.5)[:, None, None] / 200
    v, slopes = scale_of(RAIN, Unit("", step, step_in)).points(fine, grid)
    wet = fine > 0
    density = (norm.logpdf(v, m, 3) + slopes).mean(0)
    known = repeated(np.isneginf(g), 4)
    expected = np.where(known, 0, np.where(wet, density, log_ndtr(-m / 3))).sum()
    assert score.standard_error > 0
    assert abs(score.log_likelihood - expected) < 4 * score.standard_error + 1e-3
    plain = caflow.score(model, coarse, field(fine)).log_likelihood
    assert abs(plain - score.log_likelihood) > 5 * score.standard_error


def test_missing_cells_are_missing_in_members_and_left_out_of_scores():
    model = model_of()
    fine = rain(6, 6)
    coarse = coarse_of(fine).copy()
    coarse[1:3, 2:4] = np.nan
    hole = repeated(np.isnan(coarse), 4)
    found = caflow.restore(model, field(coarse), candidates=2)
    assert np.array_equal(np.isnan(found.values), np.broadcast_to(hole, (2, 24, 24)))
    assert found.drawn[0].score.wet + found.drawn[0].score.dry == (~hole).sum()
    scores = set()
    for inside in (0, 50, np.nan):
        target = np.where(hole, np.float32(inside), fine)
        scores.add(caflow.score(model, field(coarse), field(target)).log_likelihood)
    assert len(scores) == 1


def test_missing_cells_of_the_target_alone_cost_nothing():
    """With the identity as flow, the rest has the likelihood that it has in the whole field."""
    model = fresh().double()
    fine = rain(4, 4)
    coarse = coarse_of(fine)
    part = fine.copy()
    part[3:6, 5:11] = np.nan
    rest = np.where(np.isnan(part), np.float32(0), np.float32(1)) > 0
    whole = caflow.score(model, coarse, field(fine))
    found = caflow.score(model, coarse, field(part))
    other = fine.copy()
    other[~rest] = np.where(fine[~rest] > 0, 2 * fine[~rest], 0)
    moved = caflow.score(model, coarse, field(other))
    without = np.where(rest, fine, np.nan)
    assert found.log_likelihood == caflow.score(model, coarse, field(without)).log_likelihood
    assert found.wet + found.dry == rest.sum()
    assert len({whole.log_likelihood, moved.log_likelihood, found.log_likelihood}) == 3


def test_padding_takes_no_part_in_a_score():
    """Three by three means need padding to even sides; the identity as flow does not see it."""
    fine = rain(3, 3)
    model = fresh(scales=2).double()
    score = caflow.score(model, coarse_of(fine), field(fine))
    assert score.wet + score.dry == 144
    found = caflow.restore(model, coarse_of(fine), candidates=1)
    assert found.values.shape == (1, 12, 12)


def test_a_field_without_dry_cells_keeps_its_means():
    warm = np.random.default_rng(2).normal(270, 15, (5, 4)).astype(np.float32)
    found = caflow.restore(model_of(KELVIN), field(warm, "K"), candidates=2)
    error = np.abs(means_of(found.values.astype(np.float64), 4) - warm)
    assert (error <= 2.0**-22 * warm).all()
    assert found.drawn[0].score.unit == "K"


def test_the_same_from_an_array_a_file_and_a_field(tmp_path):
    model = model_of().float()
    coarse = coarse_of(rain(4, 4))
    np.save(tmp_path / "coarse.npy", coarse)
    first, *others = (
        caflow.restore(model, given, candidates=1, tau=0.9).values
        for given in (coarse, coarse, tmp_path / "coarse.npy")
    )
    for other in others:
        assert np.array_equal(first, other)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (field(np.full((2, 2), 500, np.float32)), "500 mm/h at row 0, column 0"),
        (field(np.ones((2, 2), np.float32), "K"), "in K"),
        (np.full((2, 2), np.nan, np.float32), "missing"),
        (np.ones((2, 2, 3), np.float32), "2×2×3"),
    ],
)
def test_what_is_no_field_of_the_model_is_refused(given, named):
    with pytest.raises(CaflowError, match=named):
        caflow.restore(model_of(), given)


def test_what_fields_have_not_is_refused():
    coarse = coarse_of(rain(4, 4))
    for options in (
        {"mask": np.zeros((4, 4), bool)},
        {"value_range": (0, 1)},
        {"grain": "auto"},
        {"snap": True},
    ):
        with pytest.raises(CaflowError, match=f"takes no {next(iter(options))}"):
            caflow.restore(model_of(), coarse, **options)
    with pytest.raises(CaflowError, match="consensus"):
        caflow.restore(model_of(), coarse, rank="consensus")
    with pytest.raises(CaflowError, match="fields have no intervals"):
        caflow.interval(caflow.restore(model_of(), coarse, candidates=2))
    with pytest.raises(CaflowError, match="16x16"):
        caflow.score(model_of(), coarse, field(rain(3, 3)))
    large = np.broadcast_to(np.float32(1), (1025, 1025))
    with pytest.raises(CaflowError, match="4100×4100"):
        caflow.restore(model_of(), large)


def test_a_member_that_diverges_is_the_median_of_every_cell():
    model, coarse = model_of().float(), coarse_of(rain(4, 4))
    found = caflow.restore(model, coarse, candidates=2, tau=1e30, seed=3)
    assert [member.predicted for member in found.drawn] == [[(0, 0, 16, 16)]] * 2
    assert np.isfinite(found.values).all()
    np.testing.assert_array_equal(found.values[0], found.values[1])
    np.testing.assert_allclose(found.values[0].reshape(4, 4, 4, 4).mean((1, 3)), coarse, 1e-5)
    record = found.as_json()["candidates"][0]
    assert (record["log_likelihood"], record["predicted"]) == (None, [(0, 0, 16, 16)])


def test_members_are_saved_and_become_an_array_of_xarray(tmp_path):
    found = caflow.restore(model_of(), coarse_of(rain(4, 5)), candidates=3, seed=7)
    (path,) = found.save(tmp_path / "members.nc")
    saved = xarray.load_dataset(path, engine="h5netcdf").field
    made = found.to_xarray()
    for array in (saved, made):
        assert array.dims == ("member", "y", "x")
        assert array.member.values.tolist() == [7, 8, 9]
        assert array.units == "mm/h"
        assert np.array_equal(array, found.values)
    with pytest.raises(CaflowError, match="exists"):
        found.save(path)
    with pytest.raises(CaflowError, match="has no field suffix"):
        found.save(tmp_path / "members.png")
    assert found.save(path, overwrite=True) == [path]


def test_a_data_array_keeps_its_coordinates():
    coarse = coarse_of(rain(4, 5))
    array = xarray.DataArray(coarse, {"y": np.arange(4.0)}, ("y", "x"), attrs={"units": "mm h-1"})
    made = caflow.restore(model_of(), array, candidates=2).to_xarray()
    assert made.y.values[:2].tolist() == [-0.375, -0.125]
    assert made.units == "mm h-1"


def test_a_model_of_images_refuses_a_field(models_32):
    means = coarse_of(rain(4, 4))
    with pytest.raises(CaflowError, match="an image cannot be a DataArray") as error:
        caflow.restore(models_32["superres"], xarray.DataArray(means))
    assert error.value.hint.startswith("a model of fields, such as load('rain-superres-x4')")
    with pytest.raises(CaflowError, match="in mm/h, and the model is one of images"):
        caflow.restore(models_32["superres"], field(means, "mm/h"))
