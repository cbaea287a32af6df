"""Damage is found in images of any size, and nothing where there is none."""

import numpy as np
import pytest

import caflow_cli as caflow
from caflow_cli.assets import example_path
from caflow_cli.images import read_image


def scratched(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """An image with a white crack and dark dust, and where they are."""
    damage = np.zeros(image.shape[:2], bool)
    for x in range(20, 180):
        y = 60 + x // 5 + round(3 * np.sin(x / 7))
        damage[y : y + 3, x] = True
    result = np.where(damage[..., None], np.uint8([244, 240, 232]), image)
    for y, x in ((30, 150), (150, 40), (165, 120)):
        damage[y : y + 4, x : x + 3] = True
        result[y : y + 4, x : x + 3] = 12
    return result, damage


@pytest.fixture(scope="module")
def cat() -> np.ndarray:
    return read_image(example_path("cat_192"))


def test_a_crack_is_found_and_little_else(cat):
    image, damage = scratched(cat)
    mask = caflow.find_damage(image)
    assert mask.shape == (192, 192)
    assert set(np.unique(mask)) == {0, 255}
    assert (mask[damage] == 255).mean() > 0.6
    assert (mask[~damage] == 255).mean() < 0.03
    assert (caflow.find_damage(image, 0.2) >= mask).all()


def test_an_image_without_damage_is_left_alone(cat):
    assert (caflow.find_damage(cat) > 0).mean() < 0.003


def test_grey_is_read_as_three_equal_channels(cat):
    grey = scratched(cat)[0][..., 1]
    colour = np.repeat(grey[..., None], 3, 2)
    assert np.array_equal(caflow.find_damage(grey), caflow.find_damage(colour))


@pytest.mark.parametrize("shape", [(1, 1), (5, 300), (17, 33)])
def test_any_size(shape):
    mask = caflow.find_damage(np.full((*shape, 3), 90, np.uint8))
    assert mask.shape == shape
    assert not mask.any()


def test_large_images_are_read_in_tiles(cat):
    wide = np.tile(scratched(cat)[0], (1, 4, 1))
    mask = caflow.find_damage(wide)
    cut = caflow.find_damage(np.ascontiguousarray(wide[:, 192:576]))
    assert (mask[:, 288:480] != cut[:, 96:288]).mean() < 0.002


@pytest.mark.parametrize("threshold", [0, 1, -1, 1.5])
def test_a_threshold_is_a_probability(cat, threshold):
    with pytest.raises(caflow.CaflowError, match="the threshold"):
        caflow.find_damage(cat, threshold)
