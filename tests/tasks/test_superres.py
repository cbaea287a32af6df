"""Super-resolution: Pillow's BICUBIC both ways, whole pictures, padded."""

from __future__ import annotations

import os
from pathlib import Path

import helpers
import numpy as np
import pytest
import torch
from PIL import Image

from caflow_cli.errors import CaflowError
from caflow_cli.tasks import SuperRes, held_out_conditions, pad
from caflow_cli.tasks.base import grey

BICUBIC = Image.Resampling.BICUBIC


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_defaults():
    task = SuperRes()
    assert (task.name, task.factor, task.cond_channels) == ("superres", 4, 3)
    assert (task.tau, task.candidates) == (0.5, 10)


@pytest.mark.parametrize(("factor", "height", "width"), [(4, 64, 64), (4, 8, 20), (2, 6, 4)])
def test_degrade_and_condition_are_pillow_bicubic(factor, height, width):
    task, target = SuperRes(factor), picture(height, width)
    small = Image.fromarray(target).resize((width // factor, height // factor), BICUBIC)
    degraded = task.degrade(target)
    assert degraded.dtype == np.uint8
    np.testing.assert_array_equal(degraded, np.asarray(small))
    condition = task.condition(degraded)[:height, :width]
    np.testing.assert_array_equal(condition, np.asarray(small.resize((width, height), BICUBIC)))
    np.testing.assert_array_equal(task.training_condition(target), condition)
    np.testing.assert_array_equal(task.held_out_condition(target, 3), condition)


def test_condition_has_not_the_kernel_of_torch():
    task, target = SuperRes(), picture(16, 16)
    small = torch.from_numpy(task.degrade(target)).permute(2, 0, 1)[None].float()
    torch_way = torch.nn.functional.interpolate(small, scale_factor=4, mode="bicubic")
    torch_way = torch_way.round().clamp(0, 255).to(torch.uint8)[0].permute(1, 2, 0).numpy()
    assert not np.array_equal(torch_way, task.condition(task.degrade(target)))


def test_degraded_pictures_are_writable():
    task = SuperRes()
    assert task.degrade(picture(8, 8)).flags.writeable
    assert task.condition(picture(2, 2)).flags.writeable


@pytest.mark.parametrize(
    ("height", "width", "crop"), [(10, 8, "8x8"), (8, 10, "8x8"), (3, 9, "8x4")]
)
def test_degrade_refuses_broken_pixels(height, width, crop):
    with pytest.raises(CaflowError) as caught:
        SuperRes().degrade(picture(height, width))
    assert f"{width}x{height}" in caught.value.message
    assert caught.value.hint == f"crop it to {crop}"
    assert caught.value.exit_code == 1


@pytest.mark.parametrize("factor", [1, 0, -4])
def test_factors_below_two_are_refused(factor):
    with pytest.raises(CaflowError) as caught:
        SuperRes(factor)
    assert caught.value.message == f"factor is {factor}"
    assert caught.value.exit_code == 2


def test_compose_crops_the_padding():
    image, draw = picture(5, 3), picture(32, 16, 1)
    np.testing.assert_array_equal(SuperRes().compose(image, draw), draw[:20, :12])


def test_a_grey_picture_stays_grey():
    rng = np.random.default_rng(0)
    draw = rng.integers(0, 256, (32, 32, 3), np.uint8)
    picture = np.repeat(rng.integers(0, 256, (8, 8, 1), np.uint8), 3, 2)
    found = SuperRes().compose(picture, draw)
    np.testing.assert_array_equal(found, np.repeat(grey(draw)[..., None], 3, 2))
    picture[3, 4, 0] ^= 1  # a little colour
    np.testing.assert_array_equal(SuperRes().compose(picture, draw), draw)


def test_reduce_pads_both():
    task, image, target = SuperRes(), picture(5, 3), picture(20, 12, 1)
    condition, scored = task.reduce(image, target)
    assert condition.shape == scored.shape == (*task.model_size(image), 3) == (32, 16, 3)
    np.testing.assert_array_equal(condition, task.condition(image))
    enlarged = Image.fromarray(image).resize((12, 20), BICUBIC)
    np.testing.assert_array_equal(condition, pad(np.asarray(enlarged), 16))
    np.testing.assert_array_equal(scored, pad(target, 16))
    np.testing.assert_array_equal(task.compose(image, scored), target)


def test_reduce_at_model_size_is_the_identity():
    task, target = SuperRes(), picture(32, 48)
    condition, scored = task.reduce(task.degrade(target), target)
    np.testing.assert_array_equal(condition, task.training_condition(target))
    np.testing.assert_array_equal(scored, target)


@pytest.mark.parametrize("shape", [(20, 13), (19, 12), (5, 3), (12, 20)])
def test_reduce_refuses_other_sizes(shape):
    with pytest.raises(CaflowError) as caught:
        SuperRes().reduce(picture(5, 3), picture(*shape))
    assert f"{shape[1]}x{shape[0]}" in caught.value.message
    assert "3x5" in caught.value.message
    assert "12x20" in caught.value.hint
    assert caught.value.exit_code == 1


def test_bicubic_error_on_ffhq_is_that_of_the_paper():
    folder = os.environ.get("CAFLOW_TEST_DATA")
    archive = Path(folder or ".") / "faces64.zip"
    if not folder or not archive.is_file():
        pytest.skip("CAFLOW_TEST_DATA names no folder with faces64.zip")
    names, faces = helpers.split_of(archive, "val", 64)
    rows = [i for i, name in enumerate(names) if name.startswith("ffhq_")]
    images = faces[rows]
    error = (held_out_conditions(SuperRes(), images).double() - images.double()).square()
    rmse = error.mean(dim=(1, 2, 3)).sqrt().mean()
    assert len(rows) == 100
    assert rmse == pytest.approx(20.1, abs=1.0)
