"""Colorization keeps the luminance, at any size; chroma comes from the draw alone."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from caflow_cli.tasks import Colorize

BICUBIC = Image.Resampling.BICUBIC


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def grey(image: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(image).convert("L"))


@pytest.mark.parametrize("size", [(64, 64), (300, 200), (30, 50), (1, 7), (128, 64)])
@pytest.mark.parametrize("kind", ["noise", "extremes", "grey"])
def test_the_luminance_of_the_input_is_kept_exactly(size, kind):
    """Also where colour and luminance fight: saturated draws on black and white."""
    task, image = Colorize(), picture(*size)
    if kind == "extremes":
        image = np.where(image[..., :1] > 127, np.uint8(255), np.uint8(0)).repeat(3, axis=2)
    draw = picture(*task.model_size(image), 1)
    draw = draw if kind == "noise" else np.where(draw > 127, np.uint8(255), np.uint8(0))
    if kind == "grey":
        draw = draw[..., :1].repeat(3, axis=2)
    result = task.compose(image, draw)
    np.testing.assert_array_equal(grey(result), grey(image))


def test_every_grey_level_takes_every_hue():
    """All 256 levels against all corners of the cube: 2048 pixels at model size."""
    task = Colorize(size=32)
    levels = np.repeat(np.arange(256, dtype=np.uint8), 8).reshape(32, 64)
    corners = np.array([[r, g, b] for r in (0, 255) for g in (0, 255) for b in (0, 255)], np.uint8)
    image = levels[..., None].repeat(3, axis=2)
    result = task.compose(image, np.tile(corners, (256, 1)).reshape(32, 64, 3))
    np.testing.assert_array_equal(grey(result), levels)
    middle = result[levels == 128]
    assert len(np.unique(middle, axis=0)) >= 7  # black and white are one: no chroma


def test_a_draw_of_the_right_luminance_is_kept():
    task = Colorize()
    draw = 40 + picture(64, 64) // 2  # in gamut by more than a rounding
    result = task.compose(draw, draw)
    assert np.abs(result.astype(int) - draw).max() <= 1


def test_a_grey_draw_gives_a_grey_picture():
    image = picture(90, 70)
    draw = picture(*Colorize().model_size(image), 1)[..., :1].repeat(3, axis=2)
    result = Colorize().compose(image, draw)
    np.testing.assert_array_equal(result, grey(image)[..., None].repeat(3, axis=2))


def test_colour_lands_where_the_draw_has_it():
    """Left half red, right half blue, in a picture four times as large."""
    image = np.full((256, 256, 3), 100, np.uint8)
    draw = np.full((64, 64, 3), 100, np.uint8)
    draw[:, :32], draw[:, 32:] = (200, 60, 60), (60, 90, 220)
    result = Colorize().compose(image, draw).astype(int)
    assert (result[:, :120, 0] > result[:, :120, 2] + 80).all()
    assert (result[:, 136:, 2] > result[:, 136:, 0] + 80).all()
    crossing = np.abs(result[0, :, 0] - result[0, :, 2]).argmin()
    assert 126 <= crossing <= 129


def test_the_condition_is_the_grey_at_model_scale():
    task, image = Colorize(), picture(100, 150)
    condition = task.condition(image)
    assert condition.shape == (64, 96, 1)
    small = Image.fromarray(image).convert("L").resize((96, 64), BICUBIC)
    np.testing.assert_array_equal(condition[..., 0], np.asarray(small))
    # 64 x 43 is padded by reflection.
    tall = task.condition(picture(150, 100))
    assert tall.shape == (96, 64, 1)
    padded = task.condition(picture(100, 101))
    assert padded.shape == (64, 80, 1)
    np.testing.assert_array_equal(padded[:, 65:], padded[:, 49:64][:, ::-1])


def test_reduce_is_the_target_at_model_scale_and_its_grey():
    task, image = Colorize(), picture(128, 192)
    target = task.compose(image, picture(64, 96, 1))
    condition, reduced = task.reduce(image, target)
    small = Image.fromarray(target).resize((96, 64), BICUBIC)
    np.testing.assert_array_equal(reduced, np.asarray(small))
    np.testing.assert_array_equal(condition[..., 0], np.asarray(small.convert("L")))


def test_a_target_of_another_luminance_is_scored_against_the_picture_s():
    task, image = Colorize(), picture(64, 64)
    condition, reduced = task.reduce(image, picture(64, 64, 1))
    np.testing.assert_array_equal(condition[..., 0], grey(image))
    np.testing.assert_array_equal(reduced, picture(64, 64, 1))
