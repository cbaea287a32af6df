"""Pictures, holes and maps as visitors give them."""

import numpy as np
import pytest

from caflow_cli.app.given import Painting, blank, drawn_map, painted_hole, read_picture, sheet
from caflow_cli.app.limits import Limits
from caflow_cli.errors import CaflowError


def stroke(height, width, rows, columns, colour=(0, 0, 0)):
    layer = np.zeros((height, width, 4), np.uint8)
    layer[rows, columns] = (*colour, 255)
    return layer


def test_a_picture_is_refused_before_it_is_decoded(photo, tmp_path):
    with pytest.raises(CaflowError, match="make 128x128"):
        read_picture(photo, Limits(megapixels=0.01), factor=4)
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(CaflowError, match="is not an image"):
        read_picture(tmp_path / "text.png", Limits())
    assert read_picture(photo, Limits()).rgb.shape == (32, 32, 3)


def test_a_sheet_fits_a_screen():
    assert sheet(np.zeros((8, 16, 3), np.uint8)).shape == (256, 512, 3)
    assert sheet(np.zeros((700, 600, 3), np.uint8)).shape == (700, 600, 3)
    assert sheet(np.zeros((4096, 2048, 3), np.uint8)).shape == (1024, 512, 3)


def test_a_hole_is_what_is_covered_by_half_in_any_layer():
    layers = [
        stroke(64, 64, slice(0, 16), slice(0, 16)),
        stroke(64, 64, slice(60, 62), slice(60, 64)),  # half of a pixel of 16x16
        stroke(64, 64, slice(40, 41), slice(40, 44)),  # a quarter
    ]
    hole = painted_hole(Painting(layers), 16, 16)
    wanted = np.zeros((16, 16), np.uint8)
    wanted[:4, :4] = wanted[15, 15] = 255
    np.testing.assert_array_equal(hole, wanted)


def test_a_hole_that_is_not_painted_is_asked_for():
    with pytest.raises(CaflowError, match="no hole") as caught:
        painted_hole(Painting([np.zeros((64, 64, 4), np.uint8)]), 16, 16)
    assert "paint" in caught.value.hint


def test_a_map_is_drawn_on_white():
    layer = stroke(64, 64, slice(0, 32), slice(0, 64))
    drawn = drawn_map(Painting([layer]), blank(16))
    assert drawn.rgb[:8].max() == 0
    assert drawn.rgb[8:].min() == 255
    assert not Painting([layer]).is_empty
    assert Painting([np.zeros_like(layer)]).is_empty
    assert Painting().is_empty


@pytest.mark.parametrize("size", [(30, 20), (700, 600), (1100, 1500)])
def test_a_picture_that_is_painted_on_stays_as_it_is_elsewhere(size):
    below = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    height, width = sheet(below).shape[:2]
    upper, left = (slice(0, height // 2), slice(0, width)), (slice(0, height), slice(0, width // 4))
    layers = [stroke(height, width, *upper, (255, 0, 0)), stroke(height, width, *left)]
    drawn = drawn_map(Painting(layers), below).rgb
    half, quarter = size[0] // 2, size[1] // 4
    np.testing.assert_array_equal(
        drawn[half + 1 :, quarter + 1 :], below[half + 1 :, quarter + 1 :]
    )
    assert (drawn[: half - 1, quarter + 1 :] == (255, 0, 0)).all()
    assert drawn[:, : quarter - 1].max() == 0
