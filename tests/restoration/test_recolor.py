"""Color hints: what a stroke moves, and what it leaves alone."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import noise
from PIL import Image

from caflow_cli.errors import CaflowError
from caflow_cli.restoration import restore
from caflow_cli.restoration.recolor import Recolor
from caflow_cli.tasks import Colorize
from caflow_cli.tasks.base import gray
from caflow_cli.tasks.chroma import chroma_of
from caflow_cli.tasks.sizes import scaled_size


def photo(height: int, width: int, sigma: float = 3.0, step: int = 0) -> np.ndarray:
    """A gray image with noise, whose right half is `step` levels lighter."""
    level = np.random.default_rng(0).normal(110, sigma, (height, width))
    level[:, width // 2 :] += step
    return np.repeat(np.rint(level).clip(0, 255).astype(np.uint8)[..., None], 3, 2)


def sample_for(image: np.ndarray, seed: int = 0) -> np.ndarray:
    """What a model may draw: smooth colors, of the model's size, padded."""
    height, width = scaled_size(image, 64)
    few = np.random.default_rng(seed).integers(80, 180, (3, 4, 3), np.uint8)
    small = Image.fromarray(few).resize((width, height), Image.Resampling.BICUBIC)
    padding = ((0, -height % 16), (0, -width % 16), (0, 0))
    return np.pad(np.array(small), padding, "edge")


def stroke(image: np.ndarray, rows: slice, columns: slice, color: object) -> np.ndarray:
    strokes = np.zeros((*image.shape[:2], 4), np.uint8)
    strokes[rows, columns, :3] = color
    strokes[rows, columns, 3] = 255
    return strokes


def chroma(image: np.ndarray) -> np.ndarray:
    return np.moveaxis(chroma_of(image), 0, -1)


def hinted(image: np.ndarray, strokes: np.ndarray, sample: np.ndarray) -> np.ndarray:
    return Recolor(image, strokes).apply(Colorize().compose(image, sample), 0)


GREEN = (95, 120, 90)  # within the gamut of the photo's luminance


@pytest.mark.parametrize(
    ("height", "width"), [(256, 384), (384, 256), (257, 385), (640, 960), (90, 60)]
)
def test_a_thin_stroke_is_met_and_the_luminance_is_exact(height, width):
    image = photo(height, width)
    wide = max(2, round(min(height, width) / 64))
    rows = slice(height // 4, 3 * height // 4)
    strokes = stroke(image, rows, slice(width // 3, width // 3 + wide), GREEN)
    recolor = Recolor(image, strokes)
    assert recolor.as_json() == (strokes[..., 3] > 0).sum()
    result = recolor.apply(Colorize().compose(image, sample_for(image)), 0)
    assert np.array_equal(gray(result), image[..., 0])
    hinted = strokes[..., 3] > 0
    error = np.abs(chroma(result) - chroma(strokes[..., :3]))[hinted]
    assert error.mean() < 3


def test_a_speck_in_a_large_photo_pulls_less_than_a_stroke():
    """By the share of its cell that it covers: a 16th, of 4×4 pixels."""
    image = photo(512, 512, sigma=0)
    moved = []
    for side in (1, 4):
        place = slice(256, 256 + side)
        result = Recolor(image, stroke(image, place, place, GREEN)).apply(image, 0)
        moved.append(np.abs(chroma(result) - chroma(image)).mean())
    assert 0 < moved[0] < 0.995 * moved[1]


def test_hints_do_not_cross_an_edge_of_the_luminance():
    image = photo(256, 384, step=60)
    sample = sample_for(image)
    strokes = stroke(image, slice(64, 192), slice(90, 94), GREEN)
    before = chroma(Colorize().compose(image, sample))
    moved = np.abs(chroma(hinted(image, strokes, sample)) - before)
    left = moved[:, :186].mean()
    right = moved[:, 198:].mean()
    assert left > 5
    assert right < left / 10


@pytest.mark.parametrize("rise", [1, 8, 16])
def test_hints_do_not_cross_a_soft_edge(rise):
    """Of 40 levels, over so many pixels."""
    level = 90 + 40 * np.clip((np.arange(384) - 192) / rise, 0, 1)
    noise = np.random.default_rng(0).normal(0, 2, (256, 384))
    image = np.repeat(np.rint(level + noise).astype(np.uint8)[..., None], 3, 2)
    strokes = stroke(image, slice(64, 192), slice(170, 174), (150, 90, 60))
    moved = np.abs(chroma(Recolor(image, strokes).apply(image, 0)) - chroma(image))
    assert moved[64:192, 150:180].mean() > 20
    assert moved[64:192, 212:230].mean() < 1


def test_hints_fill_the_region_that_they_touch():
    image = photo(256, 384)
    image[60:200, 100:250] = photo(140, 150) + 50
    strokes = stroke(image, slice(120, 124), slice(120, 220), GREEN)
    sample = np.full_like(sample_for(image), (140, 100, 120))
    before = chroma(Colorize().compose(image, sample))
    after = chroma(hinted(image, strokes, sample))
    wanted = chroma(strokes[120:121, 120:121, :3])
    region = np.s_[64:196, 104:246]
    share = np.abs(after - wanted)[region].mean() / np.abs(before - wanted)[region].mean()
    assert share < 0.3
    moved = np.abs(after - before)
    assert moved[:, :90].mean() < 0.1 * moved[region].mean()


def test_a_stroke_in_the_colors_of_the_sample_holds_them():
    image = photo(256, 384)
    sample = sample_for(image)
    plain = Colorize().compose(image, sample)
    rows = slice(100, 140)
    columns = slice(60, 300)
    strokes = stroke(image, rows, columns, plain[rows, columns])
    result = hinted(image, strokes, sample)
    assert np.abs(result.astype(int) - plain).max() <= 1


def test_a_gray_stroke_removes_color():
    image = photo(256, 384)
    strokes = stroke(image, slice(100, 140), slice(60, 300), (77, 77, 77))
    result = hinted(image, strokes, sample_for(image))
    assert np.abs(chroma(result))[102:138, 62:298].mean() < 1


def test_far_from_strokes_candidates_differ_as_before():
    image = photo(256, 384, step=60)
    strokes = stroke(image, slice(100, 140), slice(20, 60), GREEN)
    samples = [sample_for(image, seed) for seed in range(4)]
    before = np.stack([Colorize().compose(image, sample) for sample in samples])
    after = np.stack([hinted(image, strokes, sample) for sample in samples])
    far = np.s_[:, :, 200:]
    assert after[far].std(0).mean() == pytest.approx(before[far].std(0).mean(), rel=0.02)
    near = np.s_[:, 110:130, 30:50]
    assert after[near].std(0).mean() < 0.1 * before[near].std(0).mean()


@pytest.mark.parametrize(
    ("strokes", "message"),
    [
        (noise(40, 51, 0), "the hints are 51x40, the image 50x40"),
        (noise(40, 50, 0), "no transparent pixels"),
    ],
)
def test_hints_that_do_not_fit_are_refused(strokes, message):
    with pytest.raises(CaflowError, match=message) as caught:
        Recolor(photo(40, 50), strokes)
    assert caught.value.exit_code == 1


def test_other_tasks_take_no_hints(small_model):
    with pytest.raises(CaflowError, match="superres takes no color hints") as caught:
        restore(small_model, noise(8, 8), hints=np.zeros((8, 8, 4), np.uint8))
    assert caught.value.exit_code == 2


def test_candidates_are_ranked_and_scored_without_hints(task_models):
    image = photo(64, 64)
    strokes = stroke(image, slice(20, 30), slice(20, 30), GREEN)
    plain = restore(task_models["colorize"], image, candidates=3)
    found = restore(task_models["colorize"], image, candidates=3, hints=strokes)
    deep = strokes.astype(np.uint16) * 257
    again = restore(task_models["colorize"], image, candidates=3, hints=deep)
    assert np.array_equal(found.ranked[0].edited, again.ranked[0].edited)
    for before, after in zip(plain.ranked, found.ranked, strict=True):
        assert (before.k, before.score) == (after.k, after.score)
        assert np.array_equal(before.pixels, after.pixels)
        assert np.array_equal(Recolor(image, strokes).apply(before.image, 0), after.image)
    stated = found.as_json()
    assert stated["hinted_pixels"] == found.provenance(found.kept[0])["hinted_pixels"] == 100
    assert not any(candidate["score_exact"] for candidate in stated["candidates"])
