"""Missing cells of a coarse field, as the model sees them."""

import numpy as np
import pytest

from caflow_cli.config import Values
from caflow_cli.fields.scale import scale_of
from caflow_cli.tasks.fields import Fields, filled


@pytest.mark.parametrize("turns", range(4))
def test_beside_a_hole_at_the_border_the_field_is_mirrored(turns):
    g = np.random.default_rng(0).normal(size=(6, 9))
    holed = np.where(np.arange(9) < 5, g, np.nan)
    expected = np.concatenate([g[:, :5], g[:, 4:0:-1]], 1)
    found = filled(np.rot90(holed, turns), has_dry=False)
    np.testing.assert_allclose(found, np.rot90(expected, turns))
    assert filled(g, has_dry=False) is g


def test_a_single_cell_is_the_mean_of_its_neighbors():
    g = np.arange(25.0).reshape(5, 5) ** 2
    holed = g.copy()
    holed[2, 3] = np.nan
    expected = g.copy()
    expected[2, 3] = (g[1, 3] + g[3, 3] + g[2, 2] + g[2, 4]) / 4
    np.testing.assert_allclose(filled(holed, has_dry=False), expected)


def test_within_a_hole_the_nearer_edge_counts_more():
    g = np.full((40, 11), np.nan)
    g[:, :2], g[:, -1] = 20, 5
    row = filled(g, has_dry=False)[20]
    near, far = 1 / np.arange(1, 9) ** 2, 1 / np.arange(8, 0, -1) ** 2
    np.testing.assert_allclose(row[2:10], (20 * near + 5 * far) / (near + far))


def test_what_lies_between_dry_cells_is_dry_and_no_cell_stays_missing():
    g = np.full((9, 9), np.nan)
    g[:2, :2] = [[-np.inf, 3], [12, -np.inf]]
    found = filled(g, has_dry=True)
    assert not np.isnan(found).any()
    np.testing.assert_array_equal(found[:2, :2], g[:2, :2])
    assert found.max() == 12
    assert np.isneginf(found[found < -4.999]).all()
    g[:2, :2] = -np.inf
    assert np.isneginf(filled(g, has_dry=True)).all()


@pytest.mark.parametrize(("has_dry", "value"), [(True, -np.inf), (False, 0)])
def test_without_any_value_all_cells_are_dry(has_dry, value):
    assert (filled(np.full((3, 4), np.nan), has_dry) == value).all()


def test_known_cells_stay_also_where_rain_is_below_what_counts_as_dry():
    g = np.array([[-9.0, np.nan, 3.0], [-np.inf, 1.0, -5.0]])
    found = filled(g, has_dry=True)
    np.testing.assert_array_equal(found[~np.isnan(g)], g[~np.isnan(g)])


def test_padding_is_left_out_and_mirrors_the_field():
    task = Fields(factor=4, multiple=8, scale=scale_of(Values("mm/h", "db", 0, 150, zero=0.1)))
    rain = np.random.default_rng(1).uniform(1, 9, (5, 6, 1)).astype(np.float32)
    rain[2, 3] = np.nan
    condition = task.condition(rain)
    assert condition.shape == (24, 24, 2)
    left_out = condition[..., 1].reshape(6, 4, 6, 4).mean((1, 3))
    expected = np.zeros((6, 6))
    expected[2, 3] = expected[5] = 1
    np.testing.assert_array_equal(left_out, expected)
    level = condition[::4, ::4, 0]
    np.testing.assert_array_equal(level[5], level[3])


def test_dry_cells_count_as_nothing_in_the_means_of_a_fine_field():
    task = Fields(factor=2, multiple=4, scale=scale_of(Values("mm/h", "db", 0, 150, zero=0.1)))
    fine, coarse = task.coarsened(np.array([[0.09, 4, np.nan, 1], [0, 0.1, 1, 1]], np.float32))
    expected = np.array([[0, 4, np.nan, 1], [0, 0.1, 1, 1]], np.float32)
    np.testing.assert_array_equal(fine, expected)
    np.testing.assert_array_equal(coarse.image.values[..., 0], np.float32([[1.025, np.nan]]))
