from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from caflow_cli.images import fill_transparent

from ..image_files import source_of


def disc(side: int) -> np.ndarray:
    """Alpha of a disc with soft edges."""
    rows, columns = np.mgrid[:side, :side] - (side - 1) / 2
    return np.clip((side / 3 - np.hypot(rows, columns)) * 100 + 128, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (17, 30), (64, 64)])
@pytest.mark.parametrize("soften", [False, True])
def test_hidden_colors_reach_nothing(shape, soften):
    alpha = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    alpha.flat[-1] = 0
    alpha.flat[0] = 255
    rgb = np.random.default_rng(2).integers(0, 256, (*shape, 3), dtype=np.uint8)
    other = np.where(alpha[..., None] == 0, 255 - rgb, rgb)
    np.testing.assert_array_equal(
        fill_transparent(rgb, alpha, soften=soften), fill_transparent(other, alpha, soften=soften)
    )


def test_what_shows_stays_and_what_does_not_takes_the_colors_around():
    alpha = disc(48)
    rgb = np.where(alpha[..., None] > 0, (200, 120, 40), (0, 255, 255)).astype(np.uint8)
    np.testing.assert_array_equal(fill_transparent(rgb, alpha), np.full_like(rgb, (200, 120, 40)))
    half = np.zeros((8, 16), np.uint8)
    half[:, :2], half[:, -2:] = 255, 255
    rgb = np.zeros((8, 16, 3), np.uint8)
    rgb[:, -2:] = 240
    row = fill_transparent(rgb, half)[4, :, 0].astype(int)
    assert (np.diff(row) >= 0).all()  # from the one color to the other
    assert row[0] == 0
    assert row[-1] == 240


def test_a_faint_pixel_counts_as_little_as_it_shows():
    rgb = np.full((9, 9, 3), 200, np.uint8)
    alpha = np.full((9, 9), 255, np.uint8)
    rgb[4, 4], alpha[4, 4] = 0, 5
    assert fill_transparent(rgb, alpha)[4, 4, 0] == 0
    # 5 / 255 of its own black, and of the mean in which it hardly counts
    assert fill_transparent(rgb, alpha, soften=True)[4, 4, 0] == pytest.approx(196, abs=3)
    even = np.full((9, 9), 40, np.uint8)
    noise = np.random.default_rng(3).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    np.testing.assert_array_equal(fill_transparent(noise, even, soften=True), noise)
    np.testing.assert_array_equal(
        fill_transparent(noise, np.full((9, 9), 255, np.uint8), soften=True), noise
    )


def test_no_edge_of_another_color_after_enlarging():
    """A red disc whose hidden pixels are cyan, enlarged and laid on its own red, is all red."""
    red, alpha = np.array((220, 20, 20)), disc(24)
    rgb = np.where(alpha[..., None] > 0, red, (0, 255, 255)).astype(np.uint8)
    opacity = source_of(rgb, alpha).output(np.zeros((96, 96, 3), np.uint8)).image.alpha
    opacity = opacity.astype(float)[..., None] / 255

    def wrong(colors: np.ndarray) -> float:
        large = Image.fromarray(colors).resize((96, 96), Image.Resampling.BICUBIC)
        return np.abs(opacity * (np.asarray(large) - red)).max()

    assert wrong(rgb) > 10
    for soften in (False, True):
        assert wrong(fill_transparent(rgb, alpha, soften=soften)) <= 1


def test_alpha_has_the_size_of_the_result():
    alpha = disc(12)
    image = source_of(np.zeros((12, 12, 3), np.uint8), alpha)
    assert image.output(image.image.values).image.alpha is alpha
    expected = Image.fromarray(alpha).resize((36, 48), Image.Resampling.BICUBIC)
    found = image.output(np.zeros((48, 36, 3), np.uint8)).image.alpha
    np.testing.assert_array_equal(found, np.asarray(expected))


def test_outside_of_a_mask_hidden_colors_come_back():
    rgb, alpha = np.full((2, 2, 3), 7, np.uint8), np.array([[0, 0], [255, 255]], np.uint8)
    mask = np.array([[0, 255], [127, 255]], np.uint8)
    output = source_of(rgb, alpha).output(np.full_like(rgb, 90), mask)
    assert output.image.values[..., 0].tolist() == [[7, 90], [90, 90]]
    assert output.image.alpha is alpha
