"""Inputs as users have them: what is drawn, how often, and that it repeats."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from helpers import smooth_image
from PIL import Image, ImageFilter

from caflow_cli.tasks import SuperRes, degradation
from caflow_cli.tasks.degradation import shrink_as_photo

KERNELS = Image.Resampling


def picture(side: int = 64, seed: int = 0) -> np.ndarray:
    return smooth_image(1, 3, side, seed)[0].permute(1, 2, 0).contiguous().numpy()


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def only(monkeypatch):
    """Of the steps, only those named, always; with these values of the module beside."""

    def switch(*steps: str, **values):
        for name in ("_CLEAN", "_BLURRED", "_NOISY", "_COMPRESSED"):
            monkeypatch.setattr(degradation, name, 1.0 if name in steps else 0.0)
        monkeypatch.setattr(degradation, "_KERNELS", (KERNELS.BICUBIC,))
        for name, value in values.items():
            monkeypatch.setattr(degradation, name, value)

    return switch


def test_half_of_the_inputs_are_clean_and_the_rest_are_not():
    target = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    clean = SuperRes().degrade(target)
    same = [np.array_equal(shrink_as_photo(target, 4, generator(k)), clean) for k in range(600)]
    # And one in 12 of the others: BICUBIC without any of the steps.
    assert 0.48 < np.mean(same) < 0.6


def test_each_kernel_is_drawn(only):
    only(_KERNELS=degradation._KERNELS)
    target = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    wanted = {
        name: np.asarray(Image.fromarray(target).resize((8, 8), KERNELS[name])).tobytes()
        for name in ("NEAREST", "BILINEAR", "BOX", "LANCZOS", "BICUBIC")
    }
    found = [shrink_as_photo(target, 4, generator(k)).tobytes() for k in range(400)]
    shares = {name: np.mean([one == value for one in found]) for name, value in wanted.items()}
    assert sum(shares.values()) == pytest.approx(1)
    assert 0.42 < shares.pop("BICUBIC") < 0.58
    assert all(0.07 < share < 0.18 for share in shares.values())


@pytest.mark.parametrize("factor", [2, 4])
def test_blur_is_gaussian_in_pixels_of_the_result(only, factor):
    only("_BLURRED", _BLUR=(0.5, 0.5))
    target = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    blurred = Image.fromarray(target).filter(ImageFilter.GaussianBlur(0.5 * factor))
    wanted = np.asarray(blurred.resize((32 // factor, 32 // factor), KERNELS.BICUBIC))
    np.testing.assert_array_equal(shrink_as_photo(target, factor, generator(1)), wanted)


@pytest.mark.parametrize("grey", [0.0, 1.0])
def test_noise_has_its_size_and_is_grey_or_coloured(only, grey):
    only("_NOISY", _NOISE=(6.0, 6.0), _GREY=grey)
    target = np.full((256, 256, 3), 128, np.uint8)
    noise = shrink_as_photo(target, 4, generator(0)).astype(float) - 128
    assert noise.std() == pytest.approx(6, rel=0.05)
    assert abs(noise.mean()) < 0.3
    assert bool((noise == noise[..., :1]).all()) == bool(grey)


@pytest.mark.parametrize("side", [4, 16, 20])
def test_compression_is_jpeg_and_its_blocks_begin_anywhere(only, side):
    only("_COMPRESSED", _QUALITY=(50, 50), _HALVED=0.0)
    target = picture(4 * side)
    clean = SuperRes().degrade(target)
    found = [shrink_as_photo(target, 4, generator(k)) for k in range(30)]
    assert all(one.shape == clean.shape for one in found)
    errors = [np.abs(one.astype(float) - clean).mean() for one in found]
    assert min(errors) > 0
    assert max(errors) < (25 if side == 4 else 12)  # four pixels are steep
    assert len({one.tobytes() for one in found}) > 15


def test_blocks_that_begin_with_the_picture_are_those_of_its_file():
    image, stream = picture(48), io.BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=60, subsampling=0)
    wanted = np.asarray(Image.open(stream))
    np.testing.assert_array_equal(degradation._compress(image, 60, False, (0, 0)), wanted)
    shifted = degradation._compress(image[5:, 3:], 60, False, (5, 3))
    assert shifted.shape == (43, 45, 3)
    np.testing.assert_array_equal(shifted[11:, 13:], wanted[16:, 16:])  # the same blocks


def test_the_strengths_fill_their_ranges(monkeypatch):
    seen = []
    monkeypatch.setattr(degradation, "_compress", lambda image, *given: seen.append(given) or image)
    for k in range(600):
        shrink_as_photo(picture(16), 4, generator(k))
    qualities, halved, corners = zip(*seen, strict=True)
    assert 0.2 < len(seen) / 600 < 0.3  # half of a half
    assert 40 <= min(qualities) < 45
    assert 90 < max(qualities) <= 95
    assert 0.4 < np.mean(halved) < 0.6
    assert {y for y, _ in corners} == {x for _, x in corners} == set(range(16))


def test_a_task_degrades_training_inputs_alone_and_repeats_by_generator():
    target = picture(64)
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
