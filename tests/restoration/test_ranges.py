"""Images whose black and white are stated: counts and floats come back as what they were."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from caflow_cli.errors import CaflowError
from caflow_cli.images import read_provenance
from caflow_cli.restoration import restore, score
from caflow_cli.tasks.arguments import as_image, as_input
from caflow_cli.tasks.base import resize

from ..image_files import linear_profile

KELVIN = (250.0, 310.0)
RNG = np.random.default_rng(6)


def shares(height: int, width: int, bands: int = 3) -> np.ndarray:
    """A smooth image from 0 to 1, with both ends: (H, W, bands)."""
    slope = np.add.outer(np.linspace(0, 3, height), np.linspace(0, 2, width))
    waves = np.sin(slope[..., None] + np.arange(bands)) + RNG.uniform(0, 0.2, (height, width, 1))
    return (waves - waves.min()) / (waves.max() - waves.min())


SHARES = shares(8, 8)
COUNTS = np.rint(SHARES * 2040).astype(np.uint16)


def counted(kind: str, low: int, high: int, of: np.ndarray = SHARES) -> np.ndarray:
    return np.rint(low + of * (high - low)).astype(kind)


@pytest.mark.parametrize(
    ("kind", "low", "high", "depth"),
    [
        ("uint16", 0, 2040, 16),
        ("uint16", 100, 65000, 16),
        ("uint8", 16, 235, 8),
        ("int16", -1024, 3071, 16),
        ("int64", 0, 4095, 16),
        ("float32", -1, 1, 16),
        ("float64", 250, 310, 16),
    ],
)
def test_results_have_the_type_and_the_range_and_scores_repeat(small_model, kind, low, high, depth):
    image = low + SHARES * (high - low) if kind[0] == "f" else SHARES
    image = image.astype(kind) if kind[0] == "f" else counted(kind, low, high)
    options = {"value_range": (low, high), "consistent": True}
    found = restore(small_model, image, 0.8, 2, keep=2, **options)
    assert found.request.depth == depth
    assert found.notes == []
    for candidate in found.kept:
        result = candidate.image
        assert result.dtype == (np.float32 if kind[0] == "f" else kind)
        assert result.shape == (32, 32, 3)
        assert low <= result.min() < result.max() <= high
        small = resize(result.astype(np.float32), 8, 8)
        assert abs(small - image).mean() < 0.01 * (high - low)
        again = score(small_model, image, result, value_range=(low, high))
        assert again.log_likelihood == pytest.approx(candidate.score.log_likelihood, abs=1e-2)
        assert again.score_exact
    assert found.as_json()["value_range"] == (low, high)


def test_a_range_says_what_values_mean(small_model):
    """Counts up to 2,040 are drawn as their share of white, as those of another range are."""
    wide = counted("uint16", 0, 65280)
    small, large = (
        restore(small_model, image, 0.0, 1, value_range=(0, high)).kept[0].image / high
        for image, high in ((COUNTS, 2040), (wide, 65280))
    )
    assert abs(small - large).max() < 0.01
    dark = restore(small_model, COUNTS, 0.0, 1).kept[0].image / 65535
    assert abs(small - dark).mean() > 0.05


def test_gray_stays_gray(small_model, task_models):
    gray = (250 + 60 * SHARES[..., 0]).astype(np.float32)
    found = restore(small_model, gray, 0.8, 1, value_range=KELVIN)
    result = found.kept[0].image
    assert (result.shape, result.dtype) == ((32, 32), np.float32)
    assert len(np.unique(result)) > 300  # and not one of 256 levels of 0.23 K
    for other in (gray[..., None], torch.from_numpy(gray), torch.from_numpy(gray)[None]):
        again = restore(small_model, other, 0.8, 1, value_range=KELVIN)
        assert np.array_equal(again.kept[0].image, result)
    assert np.array_equal(found.values, result[None])
    scored = score(small_model, gray, result, value_range=KELVIN)
    assert scored.log_likelihood == pytest.approx(found.kept[0].score.log_likelihood, abs=1e-2)
    colored = restore(task_models["colorize"], np.tile(gray, (4, 4)), 0.8, 1, value_range=KELVIN)
    assert colored.kept[0].image.shape == (32, 32, 3)
    with_alpha = np.dstack([gray, np.tile(np.linspace(0.1, 1, 8, dtype=np.float32), (8, 1))])
    found = restore(small_model, with_alpha, 0.8, 1, value_range=KELVIN, alpha=True)
    result = found.kept[0].image
    assert result.shape == (32, 32, 2)
    assert 250 <= result[..., 0].min() <= result[..., 0].max() <= 310
    assert 0 <= result[..., 1].min() < 0.15
    assert 0.9 < result[..., 1].max() <= 1


@pytest.mark.parametrize("kind", ["uint16", "float32"])
def test_known_values_stay_as_they_are(task_models, kind):
    image = shares(32, 32)
    image = counted(kind, 0, 4095, image) if kind == "uint16" else (image * 60).astype(kind)
    high = 4095 if kind == "uint16" else 60
    hole = np.zeros((32, 32), bool)
    hole[5:19, 8:20] = True
    found = restore(task_models["inpaint"], image, 0.8, 2, mask=hole, value_range=(0, high))
    result = found.kept[0].image
    assert np.array_equal(result[~hole], image[~hole])
    assert not np.array_equal(result[hole], image[hole])
    assert 0 <= result.min() <= result.max() <= high
    model = task_models["inpaint"]
    again = score(model, image, result, hole, value_range=(0, high))
    assert again.log_likelihood == pytest.approx(found.kept[0].score.log_likelihood, abs=1e-2)


def test_files_that_hold_the_values_have_them_and_others_levels(small_model, tmp_path):
    tifffile = pytest.importorskip("tifffile")
    kelvin = (250 + 60 * SHARES[..., 0]).astype(np.float32)
    found = restore(small_model, kelvin, 0.8, 1, value_range=KELVIN)
    result = found.kept[0].image
    (path,) = found.save(tmp_path / "k.tif")
    assert np.array_equal(tifffile.imread(path), result)
    assert read_provenance(path)["value_range"] == [250, 310]
    scored = score(small_model, kelvin, path, value_range=KELVIN)
    assert scored.log_likelihood == pytest.approx(found.kept[0].score.log_likelihood, abs=1e-2)
    again = restore(small_model, path, 0.8, 1, value_range=KELVIN).kept[0]
    assert (again.image.shape, again.image.dtype) == ((128, 128), np.float32)
    (path,) = found.save(tmp_path / "k.png")
    levels = as_input(path).image.values[..., 0]
    assert levels.dtype == np.uint16
    assert abs(250 + levels / 65535 * 60 - result).max() < 1e-3
    signed = counted("int16", -1024, 3071)
    found = restore(small_model, signed, 0.8, 1, value_range=(-1024, 3071))
    (path,) = found.save(tmp_path / "signed.tif")
    assert np.array_equal(tifffile.imread(path), found.kept[0].image)
    scored = score(small_model, signed, path, value_range=(-1024, 3071))
    assert scored.log_likelihood == pytest.approx(found.kept[0].score.log_likelihood, abs=1e-2)
    (path,) = found.save(tmp_path / "signed.png")
    levels = as_input(path).image.values
    assert abs(levels / 65535 * 4095 - 1024 - found.kept[0].image).max() < 0.6
    found = restore(small_model, COUNTS, 0.8, 1, value_range=(0, 2040))
    (path,) = found.save(tmp_path / "counts.png")
    assert np.array_equal(as_input(path).image.values, found.kept[0].image)
    (path,) = found.save(tmp_path / "counts.webp")
    assert abs(np.asarray(Image.open(path)) / 255 - found.kept[0].image / 2040).max() < 0.01


@pytest.mark.parametrize(
    ("image", "value_range", "message", "hint"),
    [
        (COUNTS.clip(0, 1999), (0, 1998), "an array holds 1999 at x", "a range that has 0 to 1999"),
        (np.full((2, 2), -1), (0, 9), "an array holds -1 at x 0, y 0, and 3 more", "clip"),
        (np.full((2, 2), 2.5), (0, 1), "holds 2.5 at x 0, y 0, and 3 more values outside", "clip"),
        (np.full((2, 2), -0.1), (0, 1), "holds -0.1 at", "clip"),
        (np.full((2, 2), np.nan), (0, 1), "4 values that are no numbers", "from 0 to 1"),
        (COUNTS, (2040, 0), "value_range is (2040, 0)", "value_range=(0, 1)"),
        (COUNTS, (5, 5), "value_range is (5, 5)", "value_range=(0, 1)"),
        (COUNTS, (0, np.inf), "value_range is (0, inf)", "value_range=(0, 1)"),
        (COUNTS, (0, np.nan), "value_range is (0, nan)", "value_range=(0, 1)"),
        (COUNTS, (0, True), "value_range is (0, True)", "value_range=(0, 1)"),
        (COUNTS, (0, 1, 2), "value_range is (0, 1, 2)", "value_range=(0, 1)"),
        (COUNTS, "0,4095", "value_range is '0,4095'", "value_range=(0, 1)"),
        (COUNTS, 4095, "value_range is 4095", "value_range=(0, 1)"),
    ],
)
def test_what_is_outside_and_what_is_no_range(small_model, image, value_range, message, hint):
    with pytest.raises(CaflowError) as caught:
        restore(small_model, image, 0.8, 1, value_range=value_range)
    assert message in caught.value.message
    assert hint in caught.value.hint
    assert caught.value.exit_code == 2


def test_one_value_outside_is_named_alone(small_model):
    image = COUNTS.copy()
    image[2, 5, 1] = 4096
    with pytest.raises(CaflowError) as caught:
        restore(small_model, image, 0.8, 1, value_range=(0, 4095))
    assert caught.value.message == "an array holds 4096 at x 5, y 2 outside 0 to 4095"
    image[2, 5, 1] = 4095
    assert restore(small_model, image, 0.8, 1, value_range=(0, 4095)).kept[0].image.max() <= 4095


def test_alpha_has_the_range_of_its_type():
    counts = np.dstack([COUNTS, np.full((8, 8), 30000, np.uint16)])
    found = as_input(counts, (0, 2040), True).image
    assert np.array_equal(found.alpha, counts[..., 3])
    with pytest.raises(CaflowError, match=r"alpha holds -0\.5"):
        as_input(np.dstack([SHARES, np.full((8, 8), -0.5)]), (-1, 1), True)
    with pytest.raises(CaflowError, match="cannot have type int16"):
        as_input(np.dstack([COUNTS, counts[..., 3]]).astype(np.int16), (0, 2040), True)


@pytest.mark.parametrize(
    ("most", "said"),
    [(255, "8 bits"), (900, "0,1023"), (2040, "0,4095"), (8191, "0,8191"), (8192, None), (0, None)],
)
def test_16_bits_below_an_eighth_are_noted(small_model, most, said):
    image = np.minimum(COUNTS.astype(np.int64) * 5, most).astype(np.uint16)
    found = restore(small_model, image, 0.0, 1)
    assert len(found.notes) == (said is not None)
    if said is not None:
        assert said in found.notes[0]
        assert f"end at {most:,}" in found.notes[0]
        assert "--value-range" in found.notes[0]
    assert restore(small_model, image, 0.0, 1, value_range=(0, 8192)).notes == []


def test_a_dark_part_of_a_bright_image_is_not_noted(small_model):
    image = np.zeros((8, 16, 3), np.uint16)
    image[:, :8] = COUNTS
    image[:, 8:] = 60000
    assert restore(small_model, image, 0.0, 1, crop=(0, 0, 8, 8)).notes == []
    image[:, 8:] = 0
    assert len(restore(small_model, image, 0.0, 1, crop=(0, 0, 8, 8)).notes) == 1


def test_what_the_eye_sees_is_the_share_of_white():
    shown = as_image(COUNTS, (0, 2040)).astype(int)
    assert abs(shown - SHARES * 255).max() <= 1
    assert np.array_equal(as_image(SHARES, (0, 1)), as_image(250 + 60 * SHARES, KELVIN))


def test_profiles_are_those_of_shares_and_stay_with_the_range(task_models, tmp_path):
    tifffile = pytest.importorskip("tifffile")
    gray_profile = pytest.importorskip("imagecodecs").cms_profile("gray", gamma=1.8)
    image = shares(16, 16).astype(np.float32)
    profile = {"iccprofile": linear_profile(), "photometric": "rgb", "metadata": None}
    tifffile.imwrite(tmp_path / "plain.tif", image, **profile)
    tifffile.imwrite(tmp_path / "kelvin.tif", 250 + 60 * image, **profile)
    plain = as_input(tmp_path / "plain.tif").image.seen.values.astype(int)
    ranged = as_input(tmp_path / "kelvin.tif", KELVIN).image.seen.values.astype(int)
    assert abs(plain - ranged).max() <= 24  # which float32 kelvins cannot tell apart near black
    assert np.abs(plain - image * 65535).max() > 3000
    counts = counted("uint16", 0, 2040, shares(32, 32, 1)[..., 0])
    of_grays = {"iccprofile": gray_profile, "photometric": "minisblack", "metadata": None}
    tifffile.imwrite(tmp_path / "gray.tif", counts, **of_grays)
    model = task_models["colorize"]
    found = restore(model, tmp_path / "gray.tif", 0.8, 1, value_range=(0, 2040))
    assert found.request.input.converted
    assert found.kept[0].image.dtype == np.uint16
    assert 1000 < found.kept[0].image.max() <= 2040
    assert found.as_json()["value_range"] == (0, 2040)


def test_integers_stay_within_ends_that_are_none():
    image = as_input(np.arange(1, 10, dtype=np.uint8).reshape(3, 3), (0.5, 9.5))
    levels = np.array([0, 255], np.uint8).repeat(6).reshape(2, 2, 3)
    assert set(image.output(levels).image.values.flat) == {1, 9}
