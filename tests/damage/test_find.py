"""Damage is found in images of any size, and nothing where there is none."""

import numpy as np
import pytest
from cracked import cracked, faded

import caflow_cli as caflow


def test_cracks_are_found_and_little_else():
    image, damage = cracked()
    mask = caflow.find_damage(image)
    assert mask.shape == (192, 192)
    assert set(np.unique(mask)) == {0, 255}
    assert (mask[damage] == 255).mean() > 0.6
    assert (mask[~damage] == 255).mean() < 0.03
    assert (caflow.find_damage(image, 0.2) >= mask).all()


def test_an_image_without_damage_is_left_alone():
    assert (caflow.find_damage(faded()) > 0).mean() < 0.003


def test_grey_is_read_as_three_equal_channels():
    grey = cracked()[0][..., 1]
    colour = np.repeat(grey[..., None], 3, 2)
    assert np.array_equal(caflow.find_damage(grey), caflow.find_damage(colour))


@pytest.mark.parametrize("shape", [(1, 1), (5, 300), (17, 33)])
def test_any_size(shape):
    mask = caflow.find_damage(np.full((*shape, 3), 90, np.uint8))
    assert mask.shape == shape
    assert not mask.any()


def test_large_images_are_read_in_tiles():
    wide = np.tile(cracked()[0], (1, 4, 1))
    mask = caflow.find_damage(wide)
    cut = caflow.find_damage(np.ascontiguousarray(wide[:, 192:576]))
    assert (mask[:, 288:480] != cut[:, 96:288]).mean() < 0.002


@pytest.mark.parametrize("threshold", [0, 1, -1, 1.5])
def test_a_threshold_is_between_0_and_1(threshold):
    with pytest.raises(caflow.CaflowError, match="the threshold"):
        caflow.find_damage(faded(), threshold)
