"""Evaluation of images of 16 bits per channel, with and without a profile."""

from __future__ import annotations

import json

import helpers
import numpy as np
import pytest
import torch

from caflow_cli.errors import CaflowError
from caflow_cli.evaluation import evaluate
from caflow_cli.evaluation.metrics.pairs import rmse
from caflow_cli.images import decode
from caflow_cli.restoration import score, task_of
from caflow_cli.tasks.holes import central_hole

tifffile = pytest.importorskip("tifffile")
imagecodecs = pytest.importorskip("imagecodecs")

EVERYTHING = (
    "rmse",
    "psnr",
    "ssim",
    "bpd",
    "diversity",
    "consistency",
    "calibration",
    "crps",
    "rank",
    "likelihood",
)


def deep_images(count: int) -> list[np.ndarray]:
    eight = helpers.smooth_image(count, 3, 32, seed=8).permute(0, 2, 3, 1).numpy()
    low = np.random.default_rng(0).integers(0, 256, eight.shape)
    return list((256 * eight.astype(np.uint16) + low).astype(np.uint16))


@pytest.fixture
def data(tmp_path):
    for index, image in enumerate(deep_images(3)):
        path = tmp_path / f"{index}.tif"
        tifffile.imwrite(path, image, photometric="rgb", metadata=None)
    return tmp_path


@pytest.mark.parametrize("task", ["superres", "colorize", "inpaint"])
def test_bits_per_dim_are_those_of_score_of_the_same_files(models_32, data, task):
    model = models_32[task]
    found = evaluate(model, data, EVERYTHING, candidates=2, tau=0.5)
    bits = []
    for path in sorted(data.glob("*.tif")):
        truth = decode(path).image.values
        given = task_of(model).degrade(truth) if task == "superres" else truth
        mask = 255 * central_hole(32, 32).astype(np.uint8) if task == "inpaint" else None
        scored = score(model, given, path, mask)
        assert scored.depth == 16
        bits.append(scored.bits_per_dim)
    (of_truth,) = (result for result in found.results if result.what == "truth")
    assert of_truth.values["bpd"].mean == pytest.approx(np.mean(bits), abs=1e-9)
    assert any("3 images have 16 bits" in note for note in found.notes)
    (ours,) = (result for result in found.results if result.what == "model")
    if task == "colorize":
        assert ours.values["consistency"].mean < 1 / 256
    if task == "inpaint":
        assert ours.values["consistency"].mean == 0
    json.dumps(found.as_json(), allow_nan=False)


def test_pairs_are_scored_as_stored_and_measured_in_levels(models_32, tmp_path):
    images = deep_images(2)
    for side in ("A", "B"):
        (tmp_path / "pairs" / side).mkdir(parents=True)
        for index, image in enumerate(images):
            path = tmp_path / "pairs" / side / f"{index}.png"
            stored = image[:, ::-1].copy() if side == "A" else image
            path.write_bytes(imagecodecs.png_encode(stored))
    model = models_32["paired"]
    saved = tmp_path / "out"
    settings = {"candidates": 1, "tau": 0.5, "save_images": saved}
    found = evaluate(model, tmp_path / "pairs", ("rmse", "bpd"), **settings)
    again = evaluate(model, tmp_path / "pairs", ("rmse", "bpd"), **settings, skip_existing=True)
    assert [result.as_json() for result in found.results] == [
        result.as_json() for result in again.results
    ]
    bits, errors = [], []
    for index, image in enumerate(images):
        bits.append(score(model, image[:, ::-1], image).bits_per_dim)
        drawn = decode(saved / f"{index}.png").image.values
        assert drawn.dtype == np.uint16
        errors.append(np.sqrt(np.mean((drawn / 256 - image / 256) ** 2)))
    by_what = {result.what: result for result in found.results}
    assert by_what["truth"].values["bpd"].mean == pytest.approx(np.mean(bits), abs=1e-9)
    assert by_what["model"].values["rmse"].mean == pytest.approx(np.mean(errors))


def test_a_set_of_both_depths_is_measured_each_at_its_own(models_32, data):
    eight = (deep_images(4)[3] >> 8).astype(np.uint8)
    tifffile.imwrite(data / "8.tif", eight, photometric="rgb", metadata=None)
    found = evaluate(models_32["superres"], data, ("rmse", "bpd"), candidates=1, tau=0.5)
    assert found.images == 4
    (of_truth,) = (result for result in found.results if result.what == "truth")
    images = [*deep_images(3), eight]
    degrade = task_of(models_32["superres"]).degrade
    bits = [score(models_32["superres"], degrade(x), x).bits_per_dim for x in images]
    assert of_truth.values["bpd"].mean == pytest.approx(np.mean(bits), abs=1e-9)


def test_colors_of_a_profile_are_measured_as_srgb(models_32, tmp_path):
    adobe = imagecodecs.cms_profile("adobergb")
    (image,) = deep_images(1)
    for name, profile in (("stored", adobe), ("converted", None)):
        (tmp_path / name).mkdir()
        path = tmp_path / name / "0.tif"
        tifffile.imwrite(path, image, photometric="rgb", metadata=None, iccprofile=profile)
        if profile:
            image = decode(path).image.converted(None).values
    rows = [
        evaluate(models_32["superres"], tmp_path / name, ("bpd",)).results[-1].values["bpd"].mean
        for name in ("stored", "converted")
    ]
    assert rows[0] == rows[1]


def test_variational_noise_was_learned_on_8_bits(data):
    model = helpers.data_like_model(
        helpers.task_config("superres", dequantization="variational"), seed=1, size=32
    )
    with pytest.raises(CaflowError, match=r"learned its noise on 8 \(variational\)"):
        evaluate(model, data, ("bpd",), candidates=1)


def test_errors_of_16_bits_are_in_levels():
    generator = torch.Generator().manual_seed(0)
    eight = torch.randint(0, 256, (2, 3, 16, 16), generator=generator, dtype=torch.uint8)
    deep = (eight.int() * 256).to(torch.uint16)
    assert torch.equal(rmse(deep[:1], deep[1:]), rmse(eight[:1], eight[1:]))
