"""Super-resolution: Pillow's BICUBIC both ways, whole images, padded."""

import numpy as np
import pytest
import torch
from helpers import generator, noise, smooth_image
from PIL import Image

from caflow_cli import load
from caflow_cli.assets import example_path
from caflow_cli.errors import CaflowError
from caflow_cli.images import read_image
from caflow_cli.layers import to_stored
from caflow_cli.tasks import SuperRes, held_out_conditions, pad
from caflow_cli.tasks.base import gray
from caflow_cli.tasks.superres import shrink_as_photo

BICUBIC = Image.Resampling.BICUBIC
TASK = SuperRes()


@pytest.mark.parametrize(("factor", "height", "width"), [(4, 64, 64), (4, 8, 20), (2, 6, 4)])
def test_degrade_and_condition_are_pillow_bicubic(factor, height, width):
    task, target = SuperRes(factor), noise(height, width)
    small = Image.fromarray(target).resize((width // factor, height // factor), BICUBIC)
    degraded = task.degrade(target)
    assert degraded.dtype == np.uint8
    np.testing.assert_array_equal(degraded, np.asarray(small))
    condition = task.condition(degraded)[:height, :width]
    np.testing.assert_array_equal(condition, np.asarray(small.resize((width, height), BICUBIC)))
    np.testing.assert_array_equal(task.training_condition(target, generator(3)), condition)


@pytest.mark.parametrize(("height", "width"), [(10, 8), (3, 9)])
def test_degrade_refuses_broken_pixels(height, width):
    with pytest.raises(CaflowError, match=f"{width}x{height}") as caught:
        TASK.degrade(noise(height, width))
    assert (caught.value.hint, caught.value.exit_code) == ("crop its sides to multiples of 4", 1)


def test_a_gray_image_stays_gray():
    sample, image = noise(32, 32), np.repeat(noise(8, 8, 1)[..., :1], 3, 2)
    found = TASK.compose(image, sample)
    np.testing.assert_array_equal(found, np.repeat(gray(sample)[..., None], 3, 2))
    image[3, 4, 0] ^= 1  # a little color
    np.testing.assert_array_equal(TASK.compose(image, sample), sample)


def test_compose_and_reduce_drop_and_add_the_padding():
    image, target = noise(5, 3), noise(20, 12, 1)
    condition, scored = TASK.reduce(image, target)
    assert condition.shape == scored.shape == (*TASK.model_size(image), 3) == (32, 16, 3)
    enlarged = Image.fromarray(image).resize((12, 20), BICUBIC)
    np.testing.assert_array_equal(condition, pad(np.asarray(enlarged), 16))
    np.testing.assert_array_equal(scored, pad(target, 16))
    np.testing.assert_array_equal(TASK.compose(image, scored), target)


def consistency(image: np.ndarray, projected: np.ndarray) -> int:
    return int(np.abs(TASK.degrade(projected).astype(int) - image).max())


def test_a_draw_of_a_face_becomes_consistent_and_stays_near():
    face = read_image(example_path("face"))
    cond = torch.from_numpy(TASK.condition(face)).permute(2, 0, 1)[None]
    sample = to_stored(load("faces-superres-x4").sample(cond, 0.9)[0, 0], 1)
    before = sample.permute(1, 2, 0).contiguous().numpy()
    after = SuperRes(consistent=True).compose(face, before)
    assert consistency(face, before) > 3
    assert consistency(face, after) <= 1
    assert 0 < np.abs(after.astype(float) - before).mean() < 4
    assert np.array_equal(TASK.back_project(face, after), after)


def test_where_no_image_is_consistent_the_nearest_is_returned():
    """Bicubic reduction overshoots at edges; a checkerboard of 0 and 255 asks for more than RGB."""
    image = np.zeros((8, 8, 3), np.uint8)
    image[::2, ::2] = image[1::2, 1::2] = 255
    even = np.full((32, 32, 3), 128, np.uint8)
    assert 1 < consistency(image, TASK.back_project(image, even)) < consistency(image, even)


def test_few_photos_are_shrunk_as_they_are_and_the_rest_degraded():
    target = smooth_image(1, 3, 80, 0)[0].permute(1, 2, 0).contiguous().numpy()
    found = [shrink_as_photo(target, 2, np.random.default_rng(seed)) for seed in range(200)]
    clean = SuperRes(2).degrade(target)
    errors = np.array([np.abs(one.astype(int) - clean).mean() for one in found])
    assert 10 < (errors == 0).sum() < 40
    assert 0.5 < np.median(errors) < 6
    assert errors.max() < 25
    assert len({one.tobytes() for one in found}) > 160
    assert all(one.shape == (40, 40, 3) for one in found)


def test_a_task_degrades_training_inputs_and_held_out_ones_and_repeats_by_generator():
    target, photo = noise(64, 64), SuperRes(4, 16, "photo")
    found, again = (
        [photo.training_condition(target, generator(k)) for k in range(20)] for _ in range(2)
    )
    assert all(one.shape == (64, 64, 3) for one in found)
    assert len({one.tobytes() for one in found}) > 12
    assert all(np.array_equal(a, b) for a, b in zip(found, again, strict=True))
    batch = torch.from_numpy(target).permute(2, 0, 1).repeat(20, 1, 1, 1)
    held_out = held_out_conditions(photo, batch).permute(0, 2, 3, 1)
    assert np.array_equal(held_out.numpy(), np.stack(found))
