"""Restoration of images of 16 bits and of other color profiles: what goes in comes out."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import data_like_model, task_config
from PIL import Image

from caflow_cli.images import decode, in_8_bits, read_provenance
from caflow_cli.intervals.bounds import at_depth
from caflow_cli.restoration import restore, rmse_between, score
from caflow_cli.restoration.recolor import Recolor
from caflow_cli.tasks.base import gray, resize
from caflow_cli.tasks.chroma import chroma_of

from ..image_files import source_of

imagecodecs = pytest.importorskip("imagecodecs")
tifffile = pytest.importorskip("tifffile")

RNG = np.random.default_rng(2)
ADOBE = imagecodecs.cms_profile("adobergb")
PROPHOTO = imagecodecs.cms_profile(
    "rgb",
    whitepoint=[0.3457, 0.3585, 1],
    primaries=[0.7347, 0.2653, 1, 0.1596, 0.8404, 1, 0.0366, 0.0001, 1],
    gamma=1.8,
)
GRAY = imagecodecs.cms_profile("gray", gamma=1.8)


def smooth(height: int, width: int) -> np.ndarray:
    coarse = RNG.integers(9000, 52000, (height // 8 + 2, width // 8 + 2, 3)).astype(np.float32)
    return np.rint(resize(coarse, height, width)).astype(np.uint16)


DEEP = smooth(32, 32)
HOLE = np.zeros((32, 32), np.uint8)
HOLE[5:19, 8:20] = 255


@pytest.mark.parametrize("task", ["superres", "colorize", "inpaint", "paired"])
def test_a_uint16_array_gives_uint16_whose_score_repeats_its_rank(task_models, task):
    model = task_models[task]
    image = DEEP[:8, :8] if task == "superres" else DEEP
    mask = HOLE if task == "inpaint" else None
    found = restore(model, image, 0.8, 3, keep=2, mask=mask)
    for candidate in found.kept:
        assert candidate.image.dtype == np.uint16
        again = score(model, image, candidate.image, mask)
        if found.task != "paired":
            assert again.log_likelihood == pytest.approx(candidate.score.log_likelihood, abs=1e-2)
        assert again.depth == 16
    assert found.as_json()["depth"] == 16
    assert found.grid().mode == "RGB"
    result = found.kept[0].image
    if task == "inpaint":
        np.testing.assert_array_equal(result[mask == 0], image[mask == 0])
    if task == "colorize":
        np.testing.assert_array_equal(gray(result), gray(image))
    eight = restore(model, (image >> 8).astype(np.uint8), 0.8, 1, mask=mask)
    assert "depth" not in eight.as_json()
    assert "depth" not in eight.kept[0].score.as_json()


def test_what_a_result_of_16_bits_is_apart_from_its_input_is_in_levels(task_models):
    image = DEEP[:8, :8]
    found = restore(task_models["superres"], image, 0.8, 2, consistent=True)
    for candidate in found.ranked:
        apart = np.abs(resize(candidate.image.astype(np.float32), 8, 8) - image).max() / 256
        assert candidate.consistency_max == pytest.approx(apart, abs=1 / 256)
        assert 0 < candidate.consistency_max < 1


@pytest.mark.parametrize("anchor", ["none", "luminance"])
def test_a_score_of_16_bits_counts_the_values_that_are_not_in_bins(anchor):
    model = data_like_model(task_config("colorize", anchor=anchor), seed=3, size=32)
    photo = np.repeat(DEEP[..., :1], 3, 2)
    colored = restore(model, photo, 0.5, 1, rank="likelihood").kept[0]
    assert colored.score.unknown_values == (3072 if anchor == "none" else 2048)


@pytest.mark.parametrize("suffix", ["tif", "png"])
def test_a_file_keeps_depth_profile_and_score(task_models, tmp_path, suffix):
    path = tmp_path / f"in.{suffix}"
    options = {"photometric": "rgb", "iccprofile": ADOBE, "metadata": None, "compression": "lzw"}
    tifffile.imwrite(tmp_path / "in.tif", DEEP, description="a scan", **options)
    if suffix == "png":
        source = decode(tmp_path / "in.tif")
        found = restore(task_models["inpaint"], source, 0.0, 1, mask=np.zeros_like(HOLE) + HOLE)
        found.save(path)
    found = restore(task_models["inpaint"], path, 0.5, 2, mask=HOLE)
    (out,) = found.save(tmp_path / f"out.{suffix}")
    before, after = decode(path), decode(out)
    assert (after.image.bits, after.image.profile) == (16, ADOBE)
    np.testing.assert_array_equal(after.image.values[HOLE == 0], before.image.values[HOLE == 0])
    assert read_provenance(out)["depth"] == 16
    again = score(task_models["inpaint"], path, out, HOLE)
    assert again.log_likelihood == pytest.approx(found.ranked[0].score.log_likelihood, abs=1e-2)
    if suffix == "tif":
        assert (after.tiff.description, after.tiff.compression) == (b"a scan", 5)


def test_a_result_that_was_written_with_8_bits_is_scored_with_8(task_models):
    model = task_models["superres"]
    small = DEEP[:8, :8]
    found = restore(model, small, 0.5, 1)
    rounded = in_8_bits(found.kept[0].image)
    assert score(model, small, rounded).depth == 8


def test_colors_of_a_gray_profile_are_srgb_and_grays_keep_it(task_models):
    level = np.repeat(DEEP[..., :1], 3, 2)
    image = source_of(level, gray=True, profile=GRAY)
    colored = restore(task_models["colorize"], image, 0.5, 1).kept[0]
    assert colored.output.image.profile is None
    np.testing.assert_array_equal(gray(colored.image), gray(image.image.converted(None).values))
    filled = restore(task_models["inpaint"], image, 0.5, 1, mask=HOLE).kept[0]
    assert filled.output.image.profile == GRAY
    assert filled.output.gray


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_grays_of_a_linear_profile_are_filled_with_gray(task_models, dtype):
    linear = imagecodecs.cms_profile("gray", gamma=1.0)
    scale = 1 if dtype == np.float32 else np.iinfo(dtype).max
    level = (np.repeat(DEEP[..., :1], 3, 2) / 65535 * scale).astype(dtype)
    image = source_of(level, gray=True, profile=linear)
    output = restore(task_models["inpaint"], image, 0.5, 1, mask=HOLE).kept[0].output
    assert output.gray
    assert output.image.profile == (linear if dtype == np.float32 else None)
    assert not np.ptp(output.image.values, axis=-1).any()


def test_profiles_of_8_bits_are_kept_and_shown_in_srgb(task_models, tmp_path):
    values = (DEEP >> 8).astype(np.uint8)
    Image.fromarray(values).save(tmp_path / "in.png", icc_profile=ADOBE)
    found = restore(task_models["inpaint"], tmp_path / "in.png", 0.5, 1, mask=HOLE)
    best = found.kept[0]
    np.testing.assert_array_equal(best.image[HOLE == 0], values[HOLE == 0])
    assert best.output.image.profile == ADOBE
    assert (best.shown != best.image).any()


def test_figures_are_in_levels_of_8_bits():
    images = [RNG.integers(0, 256, (4, 5, 3), dtype=np.uint8) for _ in range(3)]
    deep = [image.astype(np.uint16) * 256 for image in images]
    np.testing.assert_allclose(rmse_between(deep), rmse_between(images))
    low, high = at_depth(images[0], images[1], 16)
    np.testing.assert_array_equal(low, images[0].astype(int) * 256)
    np.testing.assert_array_equal(high, images[1].astype(int) * 256 + 255)
    assert at_depth(*images[:2], 8) == (images[0], images[1])


def test_hints_of_8_bits_color_a_photo_of_16():
    photo = np.repeat(DEEP[..., :1], 3, 2)
    strokes = np.zeros((32, 32, 4), np.uint8)
    strokes[8:20, 8:20] = [200, 60, 40, 255]
    deep = Recolor(photo, strokes).apply(photo, 0)
    eight = Recolor((photo >> 8).astype(np.uint8), strokes).apply((photo >> 8).astype(np.uint8), 0)
    np.testing.assert_array_equal(gray(deep), gray(photo))
    apart = np.abs((deep >> 8).astype(int) - eight)
    assert apart.mean() <= 0.5
    assert apart.max() <= 8  # the luminance of 8 bits is rounded, and weighs links


def test_masks_of_16_bits_split_at_32768(task_models):
    image = DEEP
    mask = np.where(HOLE, np.uint16(32768), np.uint16(32767))
    found = restore(task_models["inpaint"], image, 0.0, 1, mask=mask)
    np.testing.assert_array_equal(found.request.mask >= 128, HOLE == 255)


@pytest.mark.parametrize("profile", [ADOBE, PROPHOTO])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_hint_is_the_same_red_on_screen_in_any_profile(profile, dtype):
    level = 90 + np.arange(32)[None, :, None]
    values = np.broadcast_to(level, (32, 32, 3)).astype(dtype) * (257 if dtype == np.uint16 else 1)
    strokes = np.zeros((32, 32, 4), np.uint8)
    strokes[8:20] = [180, 80, 60, 255]
    colored = Recolor(values, strokes, profile).apply(values, 0)
    shown = source_of(values, profile=profile).image.shown
    expected = Recolor(shown, strokes).apply(shown, 0)
    unmoved = Recolor(values, strokes).apply(values, 0)
    apart, before = (
        np.abs(
            chroma_of(source_of(image, profile=profile).image.shown[8:20])
            - chroma_of(expected[8:20])
        )
        for image in (colored, unmoved)
    )
    assert apart.max() <= 2.5
    assert before.mean() > 8 * apart.mean()
    np.testing.assert_array_equal(gray(colored), gray(values))
