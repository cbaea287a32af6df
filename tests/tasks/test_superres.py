"""Super-resolution: Pillow's BICUBIC both ways, whole images, padded."""

from __future__ import annotations

import io
import os
from pathlib import Path

import helpers
import numpy as np
import pytest
import torch
from helpers import generator, smooth_image
from PIL import Image, ImageFilter

from caflow_cli.errors import CaflowError
from caflow_cli.tasks import SuperRes, held_out_conditions, pad
from caflow_cli.tasks.base import grey
from caflow_cli.tasks.superres import shrink_as_photo

BICUBIC = Image.Resampling.BICUBIC


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(("factor", "height", "width"), [(4, 64, 64), (4, 8, 20), (2, 6, 4)])
def test_degrade_and_condition_are_pillow_bicubic(factor, height, width):
    task, target = SuperRes(factor), noise(height, width)
    small = Image.fromarray(target).resize((width // factor, height // factor), BICUBIC)
    degraded = task.degrade(target)
    assert degraded.dtype == np.uint8
    np.testing.assert_array_equal(degraded, np.asarray(small))
    condition = task.condition(degraded)[:height, :width]
    np.testing.assert_array_equal(condition, np.asarray(small.resize((width, height), BICUBIC)))
    np.testing.assert_array_equal(task.training_condition(target), condition)
    np.testing.assert_array_equal(task.held_out_condition(target, 3), condition)


@pytest.mark.parametrize(
    ("height", "width", "crop"), [(10, 8, "8x8"), (8, 10, "8x8"), (3, 9, "8x4")]
)
def test_degrade_refuses_broken_pixels(height, width, crop):
    with pytest.raises(CaflowError) as caught:
        SuperRes().degrade(noise(height, width))
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
    image, sample = noise(5, 3), noise(32, 16, 1)
    np.testing.assert_array_equal(SuperRes().compose(image, sample), sample[:20, :12])


def test_a_grey_image_stays_grey():
    rng = np.random.default_rng(0)
    sample = rng.integers(0, 256, (32, 32, 3), np.uint8)
    image = np.repeat(rng.integers(0, 256, (8, 8, 1), np.uint8), 3, 2)
    found = SuperRes().compose(image, sample)
    np.testing.assert_array_equal(found, np.repeat(grey(sample)[..., None], 3, 2))
    image[3, 4, 0] ^= 1  # a little colour
    np.testing.assert_array_equal(SuperRes().compose(image, sample), sample)


def test_reduce_pads_both():
    task, image, target = SuperRes(), noise(5, 3), noise(20, 12, 1)
    condition, scored = task.reduce(image, target)
    assert condition.shape == scored.shape == (*task.model_size(image), 3) == (32, 16, 3)
    np.testing.assert_array_equal(condition, task.condition(image))
    enlarged = Image.fromarray(image).resize((12, 20), BICUBIC)
    np.testing.assert_array_equal(condition, pad(np.asarray(enlarged), 16))
    np.testing.assert_array_equal(scored, pad(target, 16))
    np.testing.assert_array_equal(task.compose(image, scored), target)


@pytest.mark.parametrize("shape", [(20, 13), (19, 12), (5, 3), (12, 20)])
def test_reduce_refuses_other_sizes(shape):
    with pytest.raises(CaflowError) as caught:
        SuperRes().reduce(noise(5, 3), noise(*shape))
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


# --- inputs of training as users have them ------------------------------------------------------

KERNELS = ("BICUBIC", "BICUBIC", "BICUBIC", "BICUBIC", "NEAREST", "BILINEAR", "BOX", "LANCZOS")


def as_documented(target: np.ndarray, factor: int, seed: int) -> tuple[list[str], np.ndarray]:
    """What `shrink_as_photo` says that it does; also the names of its steps."""
    rng = generator(seed)
    u = torch.rand(12, generator=rng, dtype=torch.float64).tolist()
    image, size = Image.fromarray(target), (len(target[0]) // factor, len(target) // factor)
    if u[0] < 0.5:
        return ["clean"], np.asarray(image.resize(size, BICUBIC))
    steps = []
    if u[1] < 0.5:
        steps.append("blurred")
        image = image.filter(ImageFilter.GaussianBlur(factor * (0.05 + 0.45 * u[2])))
    steps.append(KERNELS[int(8 * u[3])])
    small = np.asarray(image.resize(size, Image.Resampling[steps[-1]]))
    if u[4] < 1 / 3:
        steps.append("noisy")
        channels = 1 if u[6] < 0.5 else 3
        noise = torch.randn((*small.shape[:2], channels), generator=rng).numpy()
        small = np.rint(small + (1 + 9 * u[5]) * noise).clip(0, 255).astype(np.uint8)
    if u[7] < 0.5:
        steps.append("compressed")
        top, left = int(16 * u[10]), int(16 * u[11])
        height, width = small.shape[:2]
        around = ((top, -(top + height) % 16), (left, -(left + width) % 16), (0, 0))
        stream = io.BytesIO()
        whole = Image.fromarray(np.pad(small, around, mode="symmetric"))
        whole.save(stream, "JPEG", quality=round(40 + 55 * u[8]), subsampling=2 * (u[9] < 0.5))
        small = np.asarray(Image.open(stream))[top : top + height, left : left + width]
    return steps, small


@pytest.mark.parametrize(("side", "factor"), [(32, 4), (80, 2), (16, 4)])
def test_photos_are_degraded_as_documented(side, factor):
    target = smooth_image(1, 3, side, 0)[0].permute(1, 2, 0).contiguous().numpy()
    done: dict[str, int] = {}
    for seed in range(300):
        steps, wanted = as_documented(target, factor, seed)
        found = shrink_as_photo(target, factor, generator(seed))
        np.testing.assert_array_equal(found, wanted, str(steps))
        assert np.abs(found.astype(int) - SuperRes(factor).degrade(target)).mean() < 30
        for step in steps:
            done[step] = done.get(step, 0) + 1
    assert done.keys() == {"clean", "blurred", "noisy", "compressed", *KERNELS}
    assert 120 < done["clean"] < 180


def test_noise_is_grey_or_coloured_and_has_its_size():
    target, sizes, grey_ones = np.full((256, 256, 3), 128, np.uint8), [], []
    for seed in range(300):
        found = shrink_as_photo(target, 4, generator(seed)).astype(float) - 128
        if found.any():  # the other steps change nothing
            sizes.append(found.std())
            grey_ones.append((found == found[..., :1]).all())
    assert 30 < len(sizes) < 70  # a third of a half
    assert 0.5 < min(sizes) < 2
    assert 8 < max(sizes) < 11
    assert 0.3 < np.mean(grey_ones) < 0.7


def test_a_task_degrades_training_inputs_alone_and_repeats_by_generator():
    target = noise(64, 64)
    clean, photo = SuperRes(4, 16), SuperRes(4, 16, "photo")
    ordinary = clean.training_condition(target)
    assert np.array_equal(clean.training_condition(target, generator(3)), ordinary)
    assert np.array_equal(photo.training_condition(target), ordinary)
    assert np.array_equal(photo.held_out_condition(target, 5), ordinary)
    found = [photo.training_condition(target, generator(k)) for k in range(20)]
    assert all(one.shape == (64, 64, 3) for one in found)
    assert len({one.tobytes() for one in found}) > 6
    again = [photo.training_condition(target, generator(k)) for k in range(20)]
    assert all(np.array_equal(a, b) for a, b in zip(found, again, strict=True))
