"""The measures of NTIRE 2021, computed again as its program does."""

import json
import os

import numpy as np
import pytest
import torch
from helpers import smooth_image

from caflow_cli.errors import CaflowError
from caflow_cli.evaluation import LpipsDistance, evaluate
from caflow_cli.evaluation.space import space_metrics
from caflow_cli.images import read_image, write_png
from caflow_cli.restoration import task_of

needs_trunk = pytest.mark.skipif(
    "CAFLOW_LPIPS_WEIGHTS" not in os.environ, reason="CAFLOW_LPIPS_WEIGHTS is not set"
)


def image(seed: int, height: int = 52, width: int = 67) -> np.ndarray:
    return smooth_image(1, 3, (height, width), seed)[0].permute(1, 2, 0).numpy()


def noisy(truth: np.ndarray, seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, 9, truth.shape)
    return np.rint(truth + noise).clip(0, 255).astype(np.uint8)


def again(task, truth, samples):
    """Of images that are cropped, and scaled to [-1, 1], by `lpips` itself."""
    import lpips
    from safetensors.torch import load_file

    net = lpips.LPIPS(net="alex", spatial=True, pnet_rand=True, verbose=False).eval()
    net.load_state_dict(load_file(os.environ["CAFLOW_LPIPS_WEIGHTS"]), strict=False)

    def scaled(array):
        return 2 * torch.from_numpy(array.copy()).permute(2, 0, 1)[None].float() / 255 - 1

    height, width = (side // 8 * 8 for side in truth.shape[:2])
    target = truth[:height, :width]
    maps, decibels = [], []
    for sample in samples:
        cropped = np.ascontiguousarray(sample[:height, :width])
        with torch.no_grad():
            maps.append(net(scaled(cropped), scaled(target))[0, 0].double().numpy())
        small, other = task.degrade(cropped), task.degrade(np.ascontiguousarray(target))
        error = np.mean((small.astype(float) - other) ** 2)
        decibels.append(10 * np.log10(255**2 / error))
    least = min(one.mean() for one in maps)
    score = (least - np.min(maps, axis=0).mean()) / least * 100
    return score, np.mean(maps), np.mean(decibels), min(decibels)


@needs_trunk
def test_the_measures_are_those_of_the_challenge(models_32):
    task, truth = task_of(models_32["superres"]), image(1)
    samples = [noisy(truth, seed) for seed in range(3)]
    lpips = LpipsDistance()
    found = space_metrics(task, truth, samples, lpips)
    expected = again(task, truth, samples)
    assert list(found.values()) == pytest.approx(list(expected), rel=1e-5)
    assert found["diversity_score"] > 0
    assert found["lr_psnr_worst"] < found["lr_psnr"]
    one = space_metrics(task, truth, samples[:1], lpips)
    assert one["diversity_score"] == pytest.approx(0, abs=1e-9)
    same = space_metrics(task, truth, [truth, truth], lpips)
    assert (same["diversity_score"], same["lpips_map"], same["lr_psnr"]) == (0.0, 0.0, None)


class Apart:
    """Stands for LPIPS: the mean distance of colors at each pixel."""

    def maps(self, images, references):
        return (images.double() - references.double()).abs().mean(1)


def test_the_measures_follow_from_the_maps_and_lr_psnr_needs_none(models_32):
    """Of samples that are right in one half each, the pixelwise minimum is nearly 0."""
    task, truth = task_of(models_32["superres"]), image(1, 48, 64)
    left, right = truth.copy(), truth.copy()
    left[:, 32:] ^= 16
    right[:, :32] ^= 8
    found = space_metrics(task, truth, [left, right], Apart())
    assert found["diversity_score"] == pytest.approx(100)  # (4 - 0) / 4
    assert found["lpips_map"] == pytest.approx((8 + 4) / 2)
    assert found["lr_psnr_worst"] < found["lr_psnr"]
    small = task.degrade(truth).astype(float)
    errors = [np.mean((task.degrade(x) - small) ** 2) for x in (left, right)]
    decibels = [10 * np.log10(255**2 / error) for error in errors]
    assert found["lr_psnr"] == pytest.approx(np.mean(decibels))
    assert found["lr_psnr_worst"] == pytest.approx(min(decibels))
    assert space_metrics(task, truth, [left, right], None) == {
        name: found[name] for name in ("lr_psnr", "lr_psnr_worst")
    }
    # What is left over of sides that are no multiples of 8 does not count.
    wider = [np.pad(x, ((0, 7), (0, 7), (0, 0)), mode="symmetric") for x in (truth, left, right)]
    wider[1][48:] ^= 64
    assert space_metrics(task, wider[0], wider[1:], Apart()) == found
    same = space_metrics(task, truth, [truth, truth], Apart())
    assert (same["diversity_score"], same["lr_psnr"], same["lr_psnr_worst"]) == (0.0, None, None)


@needs_trunk
def test_the_protocol_has_means_over_images_and_published_figures(models_32, tmp_path):
    data, saved = tmp_path / "data", tmp_path / "saved"
    data.mkdir()
    for seed, size in enumerate([(40, 56), (50, 43)]):
        write_png(data / f"{seed}.png", image(seed, *size))
    model = models_32["superres"]
    task = task_of(model)
    settings = {"protocol": "sr-space", "candidates": 3, "keep": 3, "tau": 0.8}
    found = evaluate(model, data, **settings, save_images=saved)
    bicubic, ours, *published = found.results
    by_hand = []
    for seed in range(2):
        truth = read_image(data / f"{seed}.png")
        truth = np.ascontiguousarray(truth[: truth.shape[0] // 4 * 4, : truth.shape[1] // 4 * 4])
        samples = [read_image(path) for path in sorted(saved.glob(f"{seed}_*.png"))]
        assert len(samples) == 3
        by_hand.append(again(task, truth, samples))
    names = ["diversity_score", "lpips_map", "lr_psnr", "lr_psnr_worst"]
    assert found.metrics == names
    means = [ours.values[name].mean for name in names]
    assert means == pytest.approx(list(np.mean(by_hand, axis=0)), rel=1e-4)
    assert bicubic.values["diversity_score"].mean == 0
    assert ours.differences["bicubic"].keys() == set(names)
    assert [(row.what, row.values["lr_psnr"].mean) for row in published] == [
        ("SRFlow on DIV2K, published", 49.91),
        ("ESRGAN on DIV2K, published", 39.01),
    ]
    assert any("of other images, DIV2K's" in note for note in found.notes)
    json.dumps(found.as_json(), allow_nan=False)
    resumed = evaluate(model, data, **settings, save_images=saved, skip_existing=True)
    assert resumed.as_json() == found.as_json()
    projected = evaluate(model, data, **settings, consistent=True)
    assert projected.settings["params"]["consistent"] is True
    assert projected.results[1].values["lr_psnr"].mean > ours.values["lr_psnr"].mean + 3
    with pytest.raises(CaflowError, match="cannot measure 'lr_psnr'"):
        evaluate(models_32["inpaint"], data, "lr_psnr", protocol="repair", masks=data)


def test_only_superres_is_consistent(models_32, tmp_path):
    with pytest.raises(CaflowError, match="only superres can be consistent") as caught:
        evaluate(models_32["colorize"], tmp_path, "rmse", consistent=True)
    assert caught.value.exit_code == 2
