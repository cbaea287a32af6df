"""Tasks on images of 16 bits per channel."""

from __future__ import annotations

import numpy as np
import pytest

from caflow_cli.tasks import resize
from caflow_cli.tasks.base import gray
from caflow_cli.tasks.chroma import chroma_of, saturate, tint, upsample_chroma
from caflow_cli.tasks.colorize import Colorize
from caflow_cli.tasks.inpaint import Inpaint
from caflow_cli.tasks.superres import SuperRes

RNG = np.random.default_rng(5)
NOISE = RNG.integers(0, 65536, (48, 64, 3), dtype=np.uint16)


def smooth(height: int, width: int, low: int = 0, high: int = 65535) -> np.ndarray:
    coarse = RNG.integers(low, high, (height // 8 + 1, width // 8 + 1, 3)).astype(np.float32)
    return np.rint(resize(coarse, height, width)).clip(0, 65535).astype(np.uint16)


def test_the_gray_of_16_bits_is_the_luma_rounded():
    exact = NOISE.astype(np.float64) @ np.array([19595, 38470, 7471]) / 65536
    assert np.abs(gray(NOISE) - exact).max() <= 0.5
    equal = np.repeat(np.arange(65536, dtype=np.uint16).reshape(256, 256, 1), 3, 2)
    np.testing.assert_array_equal(gray(equal), equal[..., 0])


def test_a_colored_image_has_the_luminance_of_its_gray_in_16_bits():
    level = RNG.integers(0, 65536, (200, 300), dtype=np.uint16)
    level[0, :100] = [0] * 50 + [65535] * 50
    chroma = chroma_of(RNG.integers(0, 65536, (200, 300, 3), dtype=np.uint16))
    colored = tint(level, chroma)
    assert colored.dtype == np.uint16
    np.testing.assert_array_equal(gray(colored), level)
    np.testing.assert_array_equal(gray(saturate(NOISE, 1.7)), gray(NOISE))


def test_chroma_is_upsampled_as_in_8_bits():
    level = RNG.integers(0, 256, (64, 96), dtype=np.uint8)
    small = resize(level, 32, 48)
    chroma = RNG.normal(0, 20, (3, 32, 48)).astype(np.float32)
    expected = upsample_chroma(chroma, small, level)
    deep = upsample_chroma(
        256 * chroma, small.astype(np.uint16) * 256, level.astype(np.uint16) * 256
    )
    np.testing.assert_allclose(deep / 256, expected, atol=0.01)
    assert np.abs(chroma_of(NOISE).sum()) > 0


def test_colorize_keeps_the_luminance_of_16_bits():
    task = Colorize(32, 16)
    image = smooth(48, 64, 20000, 40000)
    condition = task.condition(image)
    assert condition.dtype == np.uint16
    sample = RNG.integers(28000, 32000, (*condition.shape[:2], 3), dtype=np.uint16)
    result = task.compose(image, sample)
    np.testing.assert_array_equal(gray(result), gray(image))
    reduced, target = task.reduce(image, result)
    assert (reduced.dtype, target.dtype) == (np.uint16, np.uint16)
    assert np.abs(reduced.astype(int) - condition).max() <= 1


@pytest.mark.parametrize("side", [16, 32])
def test_holes_are_filled_in_place_and_nothing_else_changes(side):
    image = smooth(48, 64)
    mask = np.zeros((48, 64), np.uint8)
    mask[10:30, 20:44] = 255
    task = Inpaint(4, side, 16, window=side)
    for part in task.parts(image, mask):
        condition = part.condition(image)
        assert condition.dtype == np.uint16
        assert set(np.unique(condition[..., 3])) <= {0, 255}
        sample = RNG.integers(0, 65536, (side, side, 3), dtype=np.uint16)
        result = part.compose(image.copy(), sample)
        np.testing.assert_array_equal(result[mask == 0], image[mask == 0])
        cond, target = part.reduce(image, result)
        assert (cond.dtype, target.dtype) == (np.uint16, np.uint16)
        np.testing.assert_array_equal(cond, condition)
        image = result


def test_an_enlarged_image_is_made_consistent_within_16_levels_of_65536():
    image = smooth(40, 56, 12000, 50000)
    task = SuperRes(4, 16, consistent=True)
    sample = resize(image, 160, 224).astype(np.int32) + RNG.integers(-900, 900, (160, 224, 3))
    sample = np.pad(sample.clip(0, 65535).astype(np.uint16), [(0, 0), (0, 0), (0, 0)])
    result = task.compose(image, sample)
    assert result.dtype == np.uint16
    assert np.abs(task.degrade(result).astype(int) - image).max() <= 16


def test_conditions_of_a_16_bit_copy_are_those_of_8_bits():
    eight = (smooth(24, 32) >> 8).astype(np.uint8)
    deep = eight.astype(np.uint16) * 257
    for task in (SuperRes(4, 16), Colorize(16, 16)):
        first = task.condition(eight).astype(float)
        second = task.condition(deep) / 257
        assert np.abs(first - second).max() <= 3  # where Pillow's first pass clips
        assert np.abs(first - second).mean() <= 0.4
