"""Missing cells of a coarse field, as the model sees them."""

import numpy as np
import pytest

from caflow_cli.tasks.fields import filled


def test_missing_cells_of_a_ramp_continue_it():
    ramp = np.add.outer(np.arange(12.0), 3 * np.arange(10.0)) - 20
    holed = ramp.copy()
    holed[3:8, 2:7] = np.nan
    np.testing.assert_allclose(filled(holed, has_dry=False), ramp, atol=0.01)
    assert filled(ramp, has_dry=False) is ramp


def test_between_rain_and_dry_cells_the_fill_ends_at_the_threshold():
    """A gap from 20 dB to dry cells, at -5 dB, falls by 2.5 dB a cell."""
    g = np.full((40, 11), np.nan)
    g[:, 0], g[:, -1] = 20, -np.inf
    row = filled(g, has_dry=True)[20]
    np.testing.assert_allclose(row[:8], 20 - 2.5 * np.arange(8), atol=0.05)
    assert np.isneginf(row[9:]).all()
    low = np.array([[-8.0, np.nan, -8.0]])
    assert np.isneginf(filled(low, has_dry=True)).tolist() == [[False, True, False]]


@pytest.mark.parametrize(("has_dry", "value"), [(True, -np.inf), (False, 0)])
def test_without_any_value_all_cells_are_dry(has_dry, value):
    assert (filled(np.full((3, 4), np.nan), has_dry) == value).all()
