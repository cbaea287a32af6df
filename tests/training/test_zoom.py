"""Parts of pictures, brought to their size."""

import numpy as np
import pytest
from PIL import Image

from caflow_cli.training.zoom import Zoom

RAMP = np.stack(np.meshgrid(np.arange(64), np.arange(48))).astype(np.uint8)  # x, y of (2, 48, 64)
PICTURE = np.concatenate([3 * RAMP, RAMP[:1]])


def test_nothing_is_cut_off_of_a_share_of_nothing():
    assert np.array_equal(Zoom(0.5, (0.0, 0.3, 0.9))(PICTURE), PICTURE)


@pytest.mark.parametrize(("left", "top"), [(0.0, 0.0), (1.0, 1.0), (0.25, 0.75)])
def test_a_part_lies_where_it_was_cut(left, top):
    """Half of each side: of a ramp, the values of that part, spread."""
    part = Zoom(0.5, (1.0, left, top))(PICTURE).astype(float)
    xs = 32 * left + (np.arange(64) + 0.5) / 2 - 0.5
    ys = 24 * top + (np.arange(48) + 0.5) / 2 - 0.5
    inside = np.s_[4:-4], np.s_[4:-4]
    assert np.abs(part[0] - 3 * xs)[inside].max() <= 0.75
    assert np.abs(part[1] - 3 * ys[:, None])[inside].max() <= 0.75


def test_grey_and_colour_are_cut_alike():
    zoom = Zoom(0.4, (0.7, 0.2, 0.6))
    colour = zoom(PICTURE)
    for channel in range(3):
        assert np.array_equal(zoom(PICTURE[channel : channel + 1])[0], colour[channel])


def test_it_is_pillows_bicubic():
    zoom = Zoom(0.4, (1.0, 0.5, 0.0))
    width, height = 64 * 0.6, 48 * 0.6
    left = 0.5 * (64 - width)
    box = (left, 0, left + width, height)
    image = Image.fromarray(np.ascontiguousarray(PICTURE.transpose(1, 2, 0)))
    wanted = np.asarray(image.resize((64, 48), Image.Resampling.BICUBIC, box)).transpose(2, 0, 1)
    assert np.array_equal(zoom(PICTURE), wanted)
