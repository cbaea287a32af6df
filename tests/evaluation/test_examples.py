"""What tasks are asked, and what can be had without a model."""

import hashlib
import math

import numpy as np
import pytest
from PIL import Image

from caflow_cli.data.examples import Examples
from caflow_cli.errors import CaflowError
from caflow_cli.evaluation.examples import (
    colorfulness,
    crop_mask,
    inconsistency,
    make_example,
    mask_index,
    psnr_hole,
    run_baseline,
)
from caflow_cli.restoration import task_of
from caflow_cli.tasks import Example

IMAGE = np.random.default_rng(0).integers(0, 256, (30, 45, 3), np.uint8)
SQUARES = list(np.random.default_rng(1).integers(0, 251, (2, 32, 32, 3), np.uint8))


def of(model, *images, paired=False, **options):
    """The example of the first of the images."""
    rows = [[x, y] for x, y in zip(images[1:], images, strict=False)] if paired else [images[:1]]
    names = ["x", "y"][: len(rows)]
    return make_example(
        task_of(model), Examples("all", None, names, lambda i: rows[i]), 0, **options
    )


def baseline(model, name, example):
    return run_baseline(task_of(model), name, example)


def test_superres_cuts_to_whole_pixels_and_shrinks_with_antialiasing(models_32):
    example = of(models_32["superres"], IMAGE)
    assert np.array_equal(example.truth, IMAGE[:28, :44])
    image = Image.fromarray(IMAGE[:28, :44]).resize((11, 7), Image.Resampling.BICUBIC)
    assert np.array_equal(example.input, np.asarray(image))
    enlarged = image.resize((44, 28), Image.Resampling.BICUBIC)
    assert np.array_equal(baseline(models_32["superres"], "bicubic", example), np.asarray(enlarged))
    with pytest.raises(CaflowError, match="'x' is smaller than 4x4"):
        of(models_32["superres"], IMAGE[:3])


def test_color_is_taken_away_as_pillow_does(models_32):
    example = of(models_32["colorize"], IMAGE)
    gray = np.asarray(Image.fromarray(IMAGE).convert("L"))
    assert (example.input == gray[..., None]).all()
    assert np.array_equal(baseline(models_32["colorize"], "gray copy", example), example.input)
    assert np.array_equal(example.truth, IMAGE)


def test_a_hole_shows_nothing_of_the_truth(models_32, opencv_in_name):
    mask = np.zeros((30, 45), np.uint8)
    mask[3:9, 20:22] = 255
    example = of(models_32["inpaint"], IMAGE, masks=Examples("all", None, ["m"], lambda _: [mask]))
    hole = example.hole
    assert hole.sum() == (mask > 0).sum()
    assert (example.input[hole] == 128).all()
    assert np.array_equal(example.input[~hole], IMAGE[~hole])
    for name, level in (("telea", 100), ("navier-stokes", 140)):
        filled = baseline(models_32["inpaint"], name, example)
        assert (filled[hole] == level).all()
        assert np.array_equal(filled[~hole], IMAGE[~hole])


def test_without_a_mask_the_central_quarter_is_the_hole(models_32):
    example = of(models_32["inpaint"], IMAGE)
    assert example.hole.mean() == pytest.approx(0.25, abs=0.02)
    filled = baseline(models_32["inpaint"], "mean fill", example)
    assert (filled[example.hole] == np.rint(IMAGE[~example.hole].mean(0))).all()
    assert np.array_equal(filled[~example.hole], IMAGE[~example.hole])


def test_a_pair_is_compared_with_the_next_one(models_32):
    one, two = SQUARES
    alone = of(models_32["paired"], one, two, paired=True)
    assert np.array_equal(alone.input, two)
    assert baseline(models_32["paired"], "mismatched target", alone) is None
    several = of(models_32["paired"], one, two[:20], one, paired=True)
    assert baseline(models_32["paired"], "mismatched target", several).shape == one.shape


def test_the_truth_is_consistent_and_another_image_is_not(models_32):
    truth, other = SQUARES
    for name, model in models_32.items():
        task, example = task_of(model), of(model, truth, other, paired=name == "paired")
        if name == "paired":
            assert inconsistency(task, example, truth) is None
            continue
        assert inconsistency(task, example, truth) == 0.0
        assert inconsistency(task, example, truth + 5) == pytest.approx(5, abs=0.6), name


def test_masks_are_spread_over_the_whole_set():
    assert [mask_index(k, 5, 5) for k in range(5)] == [0, 1, 2, 3, 4]
    assert [mask_index(k, 5, 3) for k in range(5)] == [0, 1, 2, 0, 1]
    assert [mask_index(k, 4, 100) for k in range(4)] == [0, 25, 50, 75]


def test_a_mask_is_tiled_and_cut_from_a_corner_that_is_always_the_same():
    mask = np.zeros((7, 10), np.uint8)
    mask[1, ::2] = 255
    found = crop_mask(mask, 30, 45, 3, 8)
    assert found.shape == (30, 45)
    assert set(np.unique(found)) == {0, 255}
    assert np.array_equal(found[7:], found[:-7])
    assert np.array_equal(found[:, 10:], found[:, :-10])
    assert np.array_equal(found, crop_mask(np.dstack([mask] * 3), 30, 45, 3, 8))
    corners = {crop_mask(mask, 30, 45, seed, k).tobytes() for seed in (0, 1) for k in range(6)}
    assert len(corners) > 4


def test_the_corner_follows_from_sha256_of_seed_and_place():
    mask = np.zeros((7, 10), np.uint8)
    mask[4, 6] = 255
    # Eight bytes of the digest each, modulo the mask's sides.
    digest = int(hashlib.sha256(b"3:8").hexdigest(), 16)
    top, left = (digest >> 192) % 7, (digest >> 128 & 2**64 - 1) % 10
    ((row, column),) = np.argwhere(crop_mask(mask, 7, 10, 3, 8))
    assert ((top + row) % 7, (left + column) % 10) == (4, 6)
    assert (row, column) == (3, 2)


def test_no_part_is_without_a_hole():
    mask = np.zeros((400, 400), np.uint8)
    mask[17, 300] = 128
    for index in range(5):
        assert (crop_mask(mask, 20, 30, 0, index) > 0).sum() == 1
    with pytest.raises(CaflowError, match="no white pixels"):
        crop_mask(np.full((9, 9), 127, np.uint8), 5, 5, 0, 0)


def test_psnr_in_the_hole_is_of_the_hole_alone():
    truth, mask = np.zeros((6, 6, 3), np.uint8), np.zeros((6, 6), np.uint8)
    mask[1, 2] = mask[4, 4] = 255
    made = truth + 200
    made[1, 2], made[4, 4] = 0, (0, 0, 51)
    example, rmse_of_six = Example(truth, truth, mask), 51 / 6**0.5
    assert psnr_hole(None, example, made) == pytest.approx(20 * math.log10(255 / rmse_of_six))
    assert psnr_hole(None, example, truth) == math.inf


def test_colorfulness_in_closed_form():
    gray = np.arange(48, dtype=np.uint8).reshape(6, 8, 1).repeat(3, 2)
    red, blue = np.zeros((2, 4, 4, 3), np.uint8)
    red[..., 0] = 100  # rg 100, yb 50, without spread
    blue[:1, :, 2] = 80  # a quarter: yb -80
    half = red.copy()
    half[:2] = 0  # half of it black: spread and mean are 50 and 25 each
    for image, expected in (
        (gray, 0),
        (red, 0.3 * 12500**0.5),
        (half, 1.3 * (50**2 + 25**2) ** 0.5),
        (blue, 80 * (3 / 16) ** 0.5 + 0.3 * 20),
    ):
        found = colorfulness(None, Example(image, truth=red), image)
        assert found == pytest.approx([expected, 0.3 * 12500**0.5])
