"""The projection of fields to exact area means."""

import numpy as np
import pytest

from caflow_cli.fields.project import means_of, project, repeated

ZERO = 0.1


def drawn(seed, members=5):
    """Fields from dry to heavy, and the means of another one, some of them near the threshold."""
    rng = np.random.default_rng(seed)
    fields = rng.gamma(0.4, 1.0, (members + 1, 24, 32)) * repeated(
        10 ** rng.uniform(-2, 2, (6, 8)), 4
    )
    fields[rng.random(fields.shape) < 0.5] *= 0.01
    truth = np.where(fields[-1] >= ZERO, fields[-1], 0)
    return fields[:-1], means_of(truth, 4).astype(np.float32)


def test_means_are_exact_in_float32():
    fields, means = drawn(1)
    result = project(fields, means, ZERO)
    assert result.dtype == np.float32
    assert (np.abs(means_of(result, 4) - means) <= 2.0**-22 * means).all()
    assert (means == 0).any()
    assert not result[np.broadcast_to(repeated(means == 0, 4), result.shape)].any()


def test_no_value_lies_below_the_threshold():
    fields, means = drawn(2)
    zero = float(np.float32(ZERO))
    result = project(fields, means, zero)
    assert ((result == 0) | (result >= zero)).all()


def test_as_many_values_as_possible_stay_wet():
    field = np.array([[0.4, 0.3], [0.2, 0.15]])
    # All four would be 0.19, 0.14, 0.095, 0.07; three are 0.22, 0.17, 0.11.
    result = project(field, np.array([[0.125]], np.float32), ZERO)
    np.testing.assert_allclose(result, [[2 / 9, 1.5 / 9], [1 / 9, 0]], rtol=1e-6)


def test_dry_values_stay_dry_in_a_wet_area():
    field = np.array([[0.2, 0.09], [0.05, 0.0]])
    result = project(field, np.array([[10.0]], np.float32), ZERO)
    np.testing.assert_array_equal(result, np.array([[40, 0], [0, 0]], np.float32))


def test_the_wettest_of_dry_values_share_a_wet_mean():
    field = np.array([[0.09, 0.01], [0.06, 0.0]])
    means = np.array([[0.0625]], np.float32)
    result = project(field, means, ZERO)
    np.testing.assert_allclose(result, [[0.15, 0], [0.1, 0]], rtol=1e-6)
    nothing = project(np.zeros((2, 2)), means, ZERO)
    assert sorted(nothing.ravel()) == pytest.approx([0, 0, 0.125, 0.125])


def test_an_area_with_less_than_a_wet_cell_is_uniform_and_dry():
    means = np.array([[0.01]], np.float32)
    result = project(np.array([[3.0, 2.0], [1.0, 1.0]]), means, ZERO)
    np.testing.assert_array_equal(result, np.full((2, 2), np.float32(0.01)))


def test_where_a_mean_is_missing_all_cells_are():
    fields, means = drawn(5)
    means[2, 3] = np.nan
    for zero in (ZERO, None):
        gaps = np.isnan(project(fields, means, zero))
        assert np.array_equal(gaps, np.broadcast_to(repeated(np.isnan(means), 4), gaps.shape))


def test_without_a_threshold_a_constant_is_added():
    rng = np.random.default_rng(6)
    fields = rng.normal(270, 10, (3, 8, 12))
    means = rng.normal(270, 10, (2, 3)).astype(np.float32)
    result = project(fields, means, None)
    assert (np.abs(means_of(result, 4) - means) <= 2.0**-22 * np.abs(means)).all()
    moved = result - fields
    np.testing.assert_allclose(moved, repeated(means_of(moved, 4), 4), atol=1e-4)
    below = project(fields - 270, means - np.float32(270), None)
    errors = np.abs(means_of(below, 4) - (means - np.float32(270)))
    assert errors.max() <= 2.0**-22 * np.abs(below).max()


def test_a_field_with_these_means_is_unchanged():
    fields, means = drawn(4)
    once = project(fields, means, ZERO)
    again = project(once.astype(np.float64), means, ZERO)
    np.testing.assert_allclose(again, once, rtol=2.0**-21)
