"""Calibrating intervals on images with known truth, and checking them."""

import copy
import shutil
from dataclasses import replace

import helpers
import numpy as np
import pytest
from PIL import Image

from caflow_cli.errors import CaflowError
from caflow_cli.images import read_image
from caflow_cli.intervals import CalibrationImages, calibrate, check_calibration, has_learned
from caflow_cli.intervals.bounds import LAMBDAS, bounds, mean_width
from caflow_cli.restoration import moments, restore, task_of
from caflow_cli.sampling import Sampling

SETTINGS = Sampling(tau=0.9, candidates=4)
LEVEL = 0.75  # needs three images


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Six images, of 32x32 but for one of 40x48."""
    folder = tmp_path_factory.mktemp("kind")
    images = helpers.smooth_image(6, 3, 48, seed=5).permute(0, 2, 3, 1).numpy()
    for number, image in enumerate(images):
        own = image[:, :40] if number == 5 else image[:32, :32]
        Image.fromarray(own).save(folder / f"{number}.png")
    return folder


def ends_of(result, lambd):
    mean, variance = moments(candidate.pixels for candidate in result.ranked)
    return bounds(mean, np.sqrt(variance), lambd)


@pytest.mark.parametrize("name", ["superres", "colorize"])
def test_the_calibrated_value_is_the_least_that_keeps_the_bound(models_32, folder, name):
    model = models_32[name]
    calibration, failures = calibrate(model, CalibrationImages(data=folder), SETTINGS, LEVEL)
    assert failures == {}
    assert (calibration.temperature.values, calibration.candidates) == ((0.9,), 4)
    assert (calibration.consistent, calibration.precision) == (False, "float32")
    assert (calibration.level, calibration.images) == (LEVEL, 6)
    assert calibration.data == folder.name
    pairs = []
    for number, path in enumerate(sorted(folder.iterdir())):
        example = task_of(model).evaluation_input(read_image(path), number)
        result = restore(model, example.input, 0.9, 4, seed=1_000_003 * number)
        pairs.append((example.truth, result))

    def risk(lambd):
        ends = [(truth, *ends_of(result, lambd)) for truth, result in pairs]
        return np.mean([((truth < low) | (truth > high)).mean() for truth, low, high in ends])

    least = np.searchsorted(LAMBDAS, calibration.lambd)
    assert (6 * risk(LAMBDAS[least]) + 1) / 7 <= 1 - LEVEL + 1e-9
    assert (6 * risk(LAMBDAS[least - 1]) + 1) / 7 > 1 - LEVEL
    widths = [mean_width(*ends_of(result, calibration.lambd)) for _, result in pairs]
    assert calibration.width == pytest.approx(np.mean(widths), rel=0.02)

    # On the same images, the calibration is checked with the same candidates.
    model = copy.copy(model)
    model.record = {"calibration": calibration.as_json()}
    coverage, failures = check_calibration(model, CalibrationImages(data=folder))
    assert (coverage.images, failures) == (6, {})
    assert coverage.coverage == pytest.approx(1 - risk(calibration.lambd))
    assert coverage.width == pytest.approx(np.mean(widths))
    shares = []
    for truth, result in pairs:
        low, high = ends_of(result, calibration.lambd)
        shares.append(((low <= truth) & (truth <= high)).mean())
    assert coverage.quantiles == pytest.approx(np.quantile(shares, (0.05, 0.95)))
    assert coverage.standard_error == pytest.approx(np.std(shares, ddof=1) / 6**0.5)


def test_which_images_are_used(models_32, folder, tmp_path):
    model = models_32["colorize"]

    def used(**images):
        calibration, _ = calibrate(model, CalibrationImages(**images), SETTINGS, LEVEL)
        return calibration.images, calibration.data

    assert used(data=folder, limit=3) == (3, folder.name)
    data = tmp_path / "photos"
    shutil.copytree(folder, data / "val")
    shutil.copytree(folder, data / "test")
    (data / "val" / "0.png").unlink()
    assert used(data=data) == (5, "photos, val")
    assert used(data=data, split="test") == (6, "photos, test")
    # Of the set that a model learned from, the half of val/ that has not chosen it.
    for number in range(5, 20):
        shutil.copy(folder / "1.png", data / "val" / f"more{number}.png")
    assert used(data=data)[0] == 20
    model = copy.copy(model)
    for name, used_of in (("other", (20, "photos, val")), ("photos", (10, "photos, calibrate"))):
        model.record = {"data": name, "hold_out": "20+"}
        assert used(data=data) == used_of


def test_of_a_folder_without_splits_that_a_model_learned_from_what_it_held_out_is_used(
    models_32, folder, tmp_path
):
    """Images of training are no truths that a model has not seen."""
    model = copy.copy(models_32["colorize"])
    flat = tmp_path / "photos"
    flat.mkdir()
    for number in range(60):
        shutil.copy(folder / f"{number % 6}.png", flat / f"{number}.png")
    model.record = {"data": "photos", "hold_out": "20+", "seed": 3}
    held = CalibrationImages(data=flat)
    calibration, _ = calibrate(model, held, SETTINGS, LEVEL)
    assert (calibration.images, calibration.data) == (12, "photos, val")
    whole = CalibrationImages(data=flat, split="all", limit=4)
    assert calibrate(model, whole, SETTINGS, LEVEL)[0].data == "photos"
    assert has_learned(model, flat)
    assert not has_learned(model, folder)


def test_images_can_be_cropped_or_downsampled(models_32, folder):
    model = models_32["superres"]
    crops = CalibrationImages(data=folder, crop=24)
    squares = CalibrationImages(data=folder, size=24)
    found = [calibrate(model, images, SETTINGS, LEVEL)[0] for images in (crops, squares)]
    assert found[0].images == found[1].images == 6
    assert found[0].lambd != found[1].lambd
    large = CalibrationImages(data=folder, crop=40)
    with pytest.raises(CaflowError, match="need 3 images or more, not 1"):
        calibrate(model, large, SETTINGS, LEVEL)
    none = CalibrationImages(data=folder, crop=64)
    with pytest.raises(CaflowError, match=r"'0.png' is 32x32, smaller than 64x64"):
        calibrate(model, none, SETTINGS, LEVEL)


def test_an_image_that_fails_is_left_out(models_32, folder, tmp_path):
    shutil.copytree(folder, tmp_path / "set")
    (tmp_path / "set" / "2.png").write_bytes(b"no image")
    told = []
    calibration, failures = calibrate(
        models_32["superres"],
        CalibrationImages(data=tmp_path / "set"),
        SETTINGS,
        LEVEL,
        lambda done, total: told.append((done, total)),
    )
    assert calibration.images == 5
    assert list(failures) == ["2.png"]
    assert told[-1] == (6, 6)


def test_consistent_samples_have_intervals_of_their_own(models_32, folder):
    images = CalibrationImages(data=folder, limit=3)
    model = models_32["superres"]
    found = [
        calibrate(model, images, replace(SETTINGS, consistent=consistent), LEVEL)[0]
        for consistent in (None, True)
    ]
    assert [calibration.consistent for calibration in found] == [False, True]
    assert found[0].width != found[1].width


@pytest.mark.parametrize(
    ("name", "sampling", "level", "message"),
    [
        ("inpaint", SETTINGS, LEVEL, "superres and colorize, not inpaint"),
        ("superres", Sampling(candidates=1), LEVEL, "one candidate"),
        ("superres", SETTINGS, 0.9, "level 0.9 need 9 images or more, not 6"),
        ("superres", SETTINGS, 1.0, "level is 1"),
        ("superres", SETTINGS, 0.0, "level is 0"),
        ("colorize", replace(SETTINGS, consistent=True), LEVEL, "only superres"),
    ],
)
def test_what_has_no_intervals_is_refused(models_32, folder, name, sampling, level, message):
    with pytest.raises(CaflowError, match=message) as caught:
        calibrate(models_32[name], CalibrationImages(data=folder), sampling, level)
    assert caught.value.exit_code == 2


def test_a_model_without_a_calibration_cannot_be_checked(models_32, folder):
    with pytest.raises(CaflowError, match="has no calibration"):
        check_calibration(models_32["superres"], CalibrationImages(data=folder))
