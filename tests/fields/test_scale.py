"""Values in a unit on the scale of a model, and back."""

import numpy as np
import pytest
from small_fields import field

from caflow_cli.config import Values
from caflow_cli.errors import CaflowError
from caflow_cli.fields.scale import scale_of
from caflow_cli.images.values import Raster, Unit

RAIN = Values("mm/h", "db", 0, 150, zero=0.1)
KELVIN = Values("K", "linear", 220, 320)
HEIGHTS = Values("m", "relative", 0, 4000, resolution=2)
RATE, WARMTH, HEIGHT = map(scale_of, (RAIN, KELVIN, HEIGHTS))


def test_rain_is_in_db_above_the_threshold():
    x = np.array([0, 0.0999, np.float32(0.1), 1, 100, np.nan])
    np.testing.assert_allclose(RATE.levels(x), [-np.inf, -np.inf, 0, 10, 30, np.nan], atol=1e-7)
    assert RATE.is_wet(x).tolist() == [False, False, True, True, True, False]


def test_a_mean_is_dry_if_no_cell_can_be_wet():
    zero = np.float32(0.1)
    means = np.array([0, 0.9 * zero / 16, zero / 16, zero, np.nan])
    g = RATE.levels(means, cells=16)
    np.testing.assert_allclose(g, [-np.inf, -np.inf, -10 * np.log10(16), 0, np.nan], atol=1e-6)


def test_temperature_is_linear():
    x = np.array([220.0, 270.0, 320.0, 330.0])
    np.testing.assert_allclose(WARMTH.levels(x), [0, 15, 30, 33])
    np.testing.assert_allclose(WARMTH.values(WARMTH.levels(x)), x)
    assert WARMTH.is_wet(np.array([-5.0, np.nan])).tolist() == [True, False]


def test_of_heights_only_differences_count_and_all_are_known():
    x = np.array([-430.0, 0.0, 8848.0, np.nan])
    np.testing.assert_allclose(HEIGHT.levels(x), x / 2)
    np.testing.assert_allclose(HEIGHT.values(HEIGHT.levels(x)), x)
    assert HEIGHT.is_wet(x).tolist() == [True, True, True, False]
    HEIGHT.check_range(field([x], "m").image)


@pytest.mark.parametrize("values", [RAIN, KELVIN, HEIGHTS])
def test_the_slope_is_that_of_differences(values):
    x = np.geomspace(0.11, 140, 50)
    step = 1e-6 * x
    slope = (scale_of(values).levels(x + step) - scale_of(values).levels(x - step)) / (2 * step)
    np.testing.assert_allclose(scale_of(values).log_slope(x), np.log(slope), atol=1e-6)


def test_dry_cells_come_back_below_the_threshold_in_order():
    x = RATE.values(np.array([-1, -0.5, -1e-9, 0, 10]))
    assert not RATE.is_wet(x[:3].astype(np.float32)).any()
    assert RATE.is_wet(x[3:].astype(np.float32)).all()
    assert (np.diff(x) > 0).all()
    assert np.isfinite(RATE.values(np.array([1e6]))).all()


@pytest.mark.parametrize(("step", "step_in"), [(0.5, "linear"), (0.5, "db")])
def test_noise_spreads_values_over_their_step_and_no_dry_one(step, step_in):
    x = np.array([0.0, 0.1, 0.102, 2.0, np.nan])
    noise = np.linspace(0, 1, 1001)[:-1, None] + 0.0005
    v, slopes = scale_of(RAIN, Unit("", step, step_in)).points(np.broadcast_to(x, (1000, 5)), noise)
    assert ((v[:, [0, 4]] > -1) & (v[:, [0, 4]] < 0)).all()
    assert not slopes[:, [0, 4]].any()
    assert (v[:, 1:4] >= 0).all()
    spread = RATE.values(v[:, 1:4]) if step_in == "linear" else v[:, 1:4]
    center = x[1:4] if step_in == "linear" else 10 * np.log10(x[1:4] / 0.1)
    low = np.maximum(center - step / 2, 0.1 if step_in == "linear" else 0)
    np.testing.assert_allclose(spread.min(0), low, atol=1e-3)
    np.testing.assert_allclose(spread.max(0), center + step / 2, atol=1e-3)
    np.testing.assert_allclose(spread.mean(0), (low + center + step / 2) / 2, atol=1e-3)
    np.testing.assert_allclose(slopes[:, 1:4], RATE.log_slope(RATE.values(v[:, 1:4])))


def test_without_a_step_values_are_taken_as_they_are():
    x = np.array([0.0, 0.1, 7.0])
    v, _ = RATE.points(x, np.array([0.25, 0.5, 0.75]))
    np.testing.assert_allclose(v, [-0.75, 0, RATE.levels(x)[2]])


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ([[0, 200]], "200 mm/h at row 0, column 1"),
        ([[0], [1], [-3]], "-3 mm/h at row 2, column 0"),
    ],
)
def test_what_the_model_does_not_know_is_named_with_its_place(values, named):
    strange = field(values)
    with pytest.raises(CaflowError, match=named) as caught:
        RATE.check_range(strange.image)
    assert "0 to 150" in caught.value.message
    RATE.check_range(field([[0, 150, np.nan]], "mm/h").image)


def test_another_unit_is_refused():
    with pytest.raises(CaflowError, match="is in K, and the model in mm/h"):
        RATE.check_range(field(np.ones((2, 2)), "K").image)


@pytest.mark.parametrize(("declared", "refused"), [(220, True), (320, True), (219, False)])
def test_a_known_value_that_a_file_declares_missing_is_refused(declared, refused):
    values = np.array([[np.nan, 250]], np.float32)[..., None]
    raster = Raster(values, unit=Unit("K"), declared=(float(declared),))
    if not refused:
        scale_of(KELVIN).check_declared(raster)
        return
    with pytest.raises(CaflowError, match=f"the file declares {declared} K"):
        scale_of(KELVIN).check_declared(raster)
