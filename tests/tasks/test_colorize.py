"""Colorization keeps the luminance, at any size; chroma comes from the sample alone."""

import numpy as np
import pytest
import torch
from helpers import noise
from PIL import Image

from caflow_cli.tasks import Colorize
from caflow_cli.tasks.base import resize
from caflow_cli.tasks.chroma import saturate, upsample_chroma

BICUBIC = Image.Resampling.BICUBIC
TASK = Colorize()


def gray(image: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(image).convert("L"))


@pytest.mark.parametrize("size", [(64, 64), (300, 200), (30, 50), (1, 7)])
@pytest.mark.parametrize("kind", ["noise", "extremes", "gray"])
def test_the_luminance_of_the_input_is_kept_exactly(size, kind):
    """Also where color and luminance fight: saturated samples on black and white."""
    image = noise(*size)
    if kind == "extremes":
        image = np.where(image[..., :1] > 127, np.uint8(255), np.uint8(0)).repeat(3, axis=2)
    sample = noise(*TASK.model_size(image), 1)
    if kind == "extremes":
        sample = np.where(sample > 127, np.uint8(255), np.uint8(0))
    if kind == "gray":
        sample = sample[..., :1].repeat(3, axis=2)
    result = TASK.compose(image, sample)
    np.testing.assert_array_equal(gray(result), gray(image))
    if kind == "gray":  # without chroma
        np.testing.assert_array_equal(result, gray(image)[..., None].repeat(3, axis=2))


def test_every_gray_level_takes_every_hue():
    """All 256 levels against all corners of the cube: 2048 pixels at model size."""
    levels = np.repeat(np.arange(256, dtype=np.uint8), 8).reshape(32, 64)
    corners = np.array([[r, g, b] for r in (0, 255) for g in (0, 255) for b in (0, 255)], np.uint8)
    image = levels[..., None].repeat(3, axis=2)
    result = Colorize(size=32).compose(image, np.tile(corners, (256, 1)).reshape(32, 64, 3))
    np.testing.assert_array_equal(gray(result), levels)
    middle = result[levels == 128]
    assert len(np.unique(middle, axis=0)) >= 7  # black and white are one: no chroma


def test_color_lands_where_the_sample_has_it():
    """Left half red, right half blue, in an image four times as large."""
    image = np.full((256, 256, 3), 100, np.uint8)
    sample = np.full((64, 64, 3), 100, np.uint8)
    sample[:, :32], sample[:, 32:] = (200, 60, 60), (60, 90, 220)
    result = TASK.compose(image, sample).astype(int)
    assert (result[:, :120, 0] > result[:, :120, 2] + 80).all()
    assert (result[:, 136:, 2] > result[:, 136:, 0] + 80).all()
    crossing = np.abs(result[0, :, 0] - result[0, :, 2]).argmin()
    assert 126 <= crossing <= 129


def test_the_condition_is_the_gray_at_model_scale():
    image = noise(100, 150)
    condition = TASK.condition(image)
    small = Image.fromarray(image).convert("L").resize((96, 64), BICUBIC)
    np.testing.assert_array_equal(condition[..., 0], np.asarray(small))
    padded = TASK.condition(noise(100, 101))  # 64 x 65, and reflection
    assert padded.shape == (64, 80, 1)
    np.testing.assert_array_equal(padded[:, 65:], padded[:, 49:64][:, ::-1])


def test_reduce_is_the_target_at_model_scale_under_the_luminance_of_the_image():
    image = noise(128, 192)
    target = TASK.compose(image, noise(64, 96, 1))
    condition, reduced = TASK.reduce(image, target)
    small = Image.fromarray(target).resize((96, 64), BICUBIC)
    np.testing.assert_array_equal(reduced, np.asarray(small))
    np.testing.assert_array_equal(condition[..., 0], np.asarray(small.convert("L")))
    condition, reduced = TASK.reduce(noise(64, 64), noise(64, 64, 1))  # of another luminance
    np.testing.assert_array_equal(condition[..., 0], gray(noise(64, 64)))
    np.testing.assert_array_equal(reduced, noise(64, 64, 1))


def halves(height: int, width: int, left: float, right: float) -> np.ndarray:
    values = np.full((height, width), left, np.float32)
    values[:, width // 2 + 3 :] = right  # not at a border of pixels of model scale
    return values


def test_colors_end_where_the_luminance_has_an_edge():
    level = halves(64, 96, 40, 200).astype(np.uint8)
    truth = halves(64, 96, -30, 30)
    [found] = upsample_chroma(resize(truth, 16, 24)[None], resize(level, 16, 24), level)
    plain = resize(resize(truth, 16, 24), 64, 96)
    edge = np.s_[:, 44:58]
    error, before = (np.abs(x - truth)[edge].mean() for x in (found, plain))
    assert error < 0.6 * before


def test_the_shrunk_result_has_the_chroma_of_the_sample():
    rng = np.random.default_rng(0)
    level = rng.integers(0, 256, (96, 128), np.uint8)
    small = resize(level, 24, 32)
    plane = resize(rng.normal(0, 40, (6, 8)).astype(np.float32), 24, 32)
    [found] = upsample_chroma(plane[None], small, level)
    plain = resize(plane, 96, 128)
    error, before = (np.abs(resize(x, 24, 32) - plane).mean() for x in (found, plain))
    assert error < 0.4 * before
    [even] = upsample_chroma(np.full((1, 24, 32), 7.5, np.float32), small, level)
    np.testing.assert_allclose(even, 7.5, atol=1e-4)


def test_an_image_that_is_not_enlarged_is_resized():
    rng = np.random.default_rng(3)
    plane = rng.normal(0, 20, (16, 16)).astype(np.float32)
    level = rng.integers(0, 256, (12, 12), np.uint8)
    [found] = upsample_chroma(plane[None], resize(level, 16, 16), level)
    np.testing.assert_array_equal(found, resize(plane, 12, 12))


def test_large_images_are_composed_as_their_parts_are():
    """Of more pixels than are composed at a time."""
    image = np.tile(noise(2, 128), (9000, 1, 1))
    sample = np.full((*TASK.model_size(image), 3), (200, 60, 60), np.uint8)
    result = TASK.compose(image, sample)
    np.testing.assert_array_equal(result[4000:4200], result[12000:12200])
    np.testing.assert_array_equal(gray(result), gray(image))


def test_saturation_scales_chroma_and_keeps_the_luminance():
    image = np.asarray(Image.fromarray(noise(8, 12)).resize((120, 80), BICUBIC))
    np.testing.assert_array_equal(saturate(image, 0.0), gray(image)[..., None].repeat(3, axis=2))
    np.testing.assert_allclose(saturate(image, 1.0).astype(int), image, atol=3)
    for factor in (0.5, 3.0):  # with 3, most pixels are at the gamut's border
        np.testing.assert_array_equal(gray(saturate(image, factor)), gray(image))
    chroma, half = (np.ptp(x.astype(int), axis=-1) for x in (image, saturate(image, 0.5)))
    np.testing.assert_allclose(half, chroma / 2, atol=2)


def test_prints_have_another_luminance_and_the_colors_of_the_image():
    """The hue of every pixel stays, as far as it is in gamut; the condition is exactly its gray."""
    image = np.asarray(Image.fromarray(noise(4, 4, 3) // 2 + 64).resize((64, 64), BICUBIC))
    task, changed = Colorize(inputs="photo"), 0
    for seed in range(12):
        generator = torch.Generator().manual_seed(seed)
        target = task.training_target(image, generator)
        condition = task.training_condition(target, generator)
        np.testing.assert_array_equal(condition[..., 0], gray(target))
        changed += (gray(target) != gray(image)).mean() > 0.5
        tone = [x.astype(int) - gray(x)[..., None] for x in (image, target)]
        shrunk = np.abs(tone[1]) <= np.abs(tone[0]) + 2  # towards gray, never beyond
        assert shrunk.all()
        assert (np.sign(tone[0]) * tone[1] >= -2).all()
    assert 6 <= changed < 12
    np.testing.assert_array_equal(Colorize().training_target(image, generator), image)
