"""Crops: where they are cut from, and that a shrunk one is cut from a shrunk picture."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from stored_photographs import photographs

from caflow_cli.tasks import Inpaint, SuperRes
from caflow_cli.training.batches import Batches
from caflow_cli.training.crops import Crop, Crops
from caflow_cli.training.dataset import Dataset

SIZES = [(30, 24), (20, 33), (48, 40), (90, 70)]  # height, width


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """(3, H, W) of memory (H, W, 3), as photographs are kept."""
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return noise.transpose(2, 0, 1)


def test_a_crop_at_native_scale_is_pixels_of_the_picture_and_reaches_every_place():
    image = picture(18, 20)
    seen = set()
    for left in np.linspace(0, 0.999, 15):
        for top in np.linspace(0, 0.999, 9):
            part = Crop(16, 4.0, 0.0, left, top)(image)
            x, y = int(left * 5), int(top * 3)
            assert np.array_equal(part, image[:, y : y + 16, x : x + 16])
            seen.add((x, y))
    assert len(seen) == 5 * 3


@pytest.mark.parametrize(("left", "top"), [(0.0, 0.0), (0.999999, 0.999999), (0.4, 0.7)])
@pytest.mark.parametrize("share", [0.3, 1.0])
def test_a_shrunk_crop_is_that_of_the_whole_picture_shrunk(left, top, share):
    image = picture(90, 70, seed=1)
    part = Crop(16, 4.0, share, left, top)(image)
    span = 16 * 4.0**share
    x, y = left * (70 - span), top * (90 - span)
    whole = Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0)))
    box = (x, y, x + span, y + span)
    wanted = np.asarray(whole.resize((16, 16), Image.Resampling.LANCZOS, box)).transpose(2, 0, 1)
    assert np.abs(part.astype(int) - wanted).max() <= 1  # rounding of the box
    assert part.std() < 0.6 * image.std()  # and it is smoother than pixels as they are


def test_a_picture_that_is_too_small_is_shrunk_less():
    image = picture(24, 32)
    whole = Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0)))
    wanted = np.asarray(whole.resize((16, 16), Image.Resampling.LANCZOS, (4, 0, 28, 24)))
    assert np.array_equal(Crop(16, 4.0, 1.0, 0.5, 0.9)(image), wanted.transpose(2, 0, 1))
    image = picture(16, 30)  # not at all
    assert np.array_equal(Crop(16, 4.0, 1.0, 0.5, 0.9)(image), image[:, :, 7:23])


def test_a_share_of_the_crops_is_as_it_is_and_the_rest_spread_over_the_scales():
    crops = Crops(16, native=0.6, shrink=4.0)
    shares = [
        crops.draw(np.random.Philox(key=[1, 2], counter=[0, 0, 0, k])).share for k in range(900)
    ]
    assert 0.54 < np.mean(np.array(shares) == 0) < 0.66
    shrunk = [share for share in shares if share]
    assert np.abs(np.quantile(shrunk, [0.25, 0.5, 0.75]) - [0.25, 0.5, 0.75]).max() < 0.08


def stream(task, seed=1):
    data = Dataset(task, photographs(SIZES), crops=Crops(16, native=0.5, shrink=4.0))
    return Batches(data, batch_size=4, seed=seed, flip=True)


def test_every_visit_sees_another_part_and_a_visit_again_the_same():
    first, second = (stream(SuperRes(4, 8))(step) for step in range(2))
    assert first.target.shape == first.cond.shape == (4, 3, 16, 16)
    again, shares = stream(SuperRes(4, 8)), [stream(SuperRes(4, 8))(1, k, 2) for k in range(2)]
    for part in range(4):
        assert torch.equal(again(1)[part], second[part])
        for rank in range(2):
            assert torch.equal(shares[rank][part], second[part][rank::2])
    assert not any(torch.equal(a, b) for a in first.target for b in second.target)
    assert not torch.equal(stream(SuperRes(4, 8), seed=2)(0).target, first.target)


def test_a_condition_is_made_of_the_crop():
    task = Inpaint(4, 16, 8)
    for w, y in zip(*stream(task)(0)[:2], strict=True):
        known = y[3].floor() == 0
        assert torch.equal(y[:3, known].floor(), w[:, known])


def test_validation_sees_the_middle_at_native_scale():
    data = Dataset(SuperRes(4, 8), photographs(SIZES), crops=Crops(16))
    targets, conditions = data.held_out(torch.tensor([1, 3]))
    assert targets.shape == conditions.shape == (2, 3, 16, 16)
    assert torch.equal(targets[0], data.targets[1][:, 2:18, 8:24])
    assert torch.equal(targets[1], data.targets[3][:, 37:53, 27:43])
