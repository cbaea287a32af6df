"""All tasks alike: construction, shapes, what condition, compose and reduce owe each other."""

import numpy as np
import pytest
import torch
from drawn_masks import box
from helpers import noise
from PIL import Image

from caflow_cli.config import Config, FlowConfig, TaskConfig
from caflow_cli.errors import CaflowError
from caflow_cli.images import Raster
from caflow_cli.tasks import (
    TASKS,
    Colorize,
    Inpaint,
    Paired,
    SuperRes,
    get_task,
    held_out_conditions,
    pad,
)
from caflow_cli.tasks.base import gray, resize
from caflow_cli.tasks.sizes import padded_size, scaled_size

ALL = [SuperRes(), Colorize(), Inpaint(), Inpaint(3), Paired(), Paired(1)]
LABELS = ["superres", "colorize", "inpaint", "inpaint3", "paired", "paired1"]


def mask_for(task, image: np.ndarray) -> np.ndarray | None:
    if not task.needs_mask:
        return None
    mask = np.zeros(image.shape[:2], np.uint8)
    height, width = mask.shape
    mask[height // 3 : height // 3 + max(1, height // 4), : max(1, width // 3)] = 255
    return mask


def test_a_config_makes_its_task():
    def made(name: str, cond_channels: int, **task: object):
        flow = FlowConfig(scales=2, cond_channels=cond_channels)
        return get_task(Config(flow, TaskConfig(name, size=32, **task)))

    assert made("superres", 3, factor=2) == SuperRes(2, 8)
    assert made("superres", 3, degrade="photo") == SuperRes(4, 8, "photo")
    assert made("colorize", 1) == Colorize(32, 8)
    assert made("inpaint", 4) == Inpaint(4, 32, 8, "mixed")
    assert made("inpaint", 3, holes="central") == Inpaint(3, 32, 8, "central")
    assert made("paired", 1) == Paired(1, 32, 8)
    for name, channels in (("superres", 1), ("colorize", 3), ("inpaint", 1)):
        with pytest.raises(CaflowError, match="cond_channels") as caught:
            made(name, channels)
        assert caught.value.exit_code == 2


@pytest.mark.parametrize("task", ALL, ids=LABELS)
@pytest.mark.parametrize(
    "size", [(64, 64), (16, 16), (1, 1), (1, 40), (300, 200), (65, 129), (90, 17)]
)
def test_any_size_is_taken_and_each_part_is_scored_under_its_own_condition(task, size):
    image = noise(*size)
    mask, before = mask_for(task, image), image.copy()
    height, width = task.model_size(image)
    assert height % 16 == width % 16 == 0
    result, conditions, parts = image.copy(), [], task.parts(image, mask)
    for number, part in enumerate(parts):
        conditions.append(part.condition(result))
        assert conditions[-1].shape == (height, width, task.cond_channels)
        assert conditions[-1].dtype == np.uint8
        result = part.compose(result, noise(height, width, 1 + number))
    factor = 4 if task.name == "superres" else 1
    expected = scaled_size(image, 64) if task.name == "paired" else size
    assert result.shape == (factor * expected[0], factor * expected[1], 3)
    assert result.dtype == np.uint8
    for part, condition in zip(parts, conditions, strict=True):
        reduced, target = part.reduce(image, result)
        assert target.shape == (height, width, 3)
        if task.name != "colorize" or size == (64, 64):  # shrunk colors have another gray
            np.testing.assert_array_equal(reduced, condition)
        if size == (64, 64) and task.name != "superres":
            np.testing.assert_array_equal(target, result)
    assert np.array_equal(image, before)
    with pytest.raises(CaflowError, match="the target is") as caught:
        parts[0].reduce(image, noise(result.shape[0], result.shape[1] + 1))
    assert caught.value.exit_code == 1
    assert f"a target of {result.shape[1]}x{result.shape[0]}" in caught.value.hint


@pytest.mark.parametrize("task", [t for t in ALL if t.role == "images"], ids=LABELS[:4])
def test_a_training_condition_is_what_a_users_image_gives(task):
    target = noise(64, 64)
    generator = torch.Generator().manual_seed(3)
    condition = task.training_condition(target, generator)
    if task.name == "superres":
        image, mask = task.degrade(target), None
    elif task.name == "colorize":
        image, mask = target, None
    else:  # the pixels under the hole must not matter
        fill = 128 if task.cond_channels == 4 else 0
        hole = (condition[..., :3] == fill).all(-1)
        image, mask = np.where(hole[..., None], noise(64, 64, 9), target), hole * np.uint8(255)
    np.testing.assert_array_equal(condition, task.parts(image, mask)[0].condition(image))


@pytest.mark.parametrize("task", [t for t in ALL if t.role == "images"], ids=LABELS[:4])
def test_held_out_conditions_repeat(task):
    images = torch.from_numpy(noise(64, 64)).permute(2, 0, 1).repeat(5, 1, 1, 1)
    found = held_out_conditions(task, images)
    assert found.is_contiguous()
    assert found.shape == (5, task.cond_channels, 64, 64)
    assert found.equal(held_out_conditions(task, images))
    assert found[:1].equal(held_out_conditions(task, images[:1]))
    assert any(not found[0].equal(other) for other in found[1:]) == task.needs_mask


@pytest.mark.parametrize("task", ALL, ids=LABELS)
def test_a_sample_with_what_is_known_is_what_its_candidate_is_scored_as(task):
    side = 16 if task.name == "superres" else 64
    image = noise(side, side, 1) | 1  # nothing black, for a hole of three channels is
    mask = box(64, 64, 16, 16, 32, 32) * np.uint8(255) if task.needs_mask else None
    (part,) = task.parts(image, mask)
    condition = part.condition(image)
    sample = noise(64, 64, 2)
    known = image if task.name != "colorize" else np.repeat(condition, 3, axis=2)
    expected = part.reduce(known, part.compose(known.copy(), sample))
    np.testing.assert_array_equal(expected[0], condition)
    np.testing.assert_array_equal(task.keep_known(condition, sample), expected[1])


@pytest.mark.parametrize("name", ["superres", "colorize", "inpaint"])
def test_points_keep_what_is_known_as_images_do(name):
    """A task's two ways to compose a sample agree to rounding, and the second one has gradients."""
    task = TASKS[name]() if name != "inpaint" else TASKS[name](size=16, holes="central")
    target, sample = noise(16, 16), noise(16, 16, 1)
    condition = task.training_condition(target, torch.Generator())
    points = torch.from_numpy(sample).permute(2, 0, 1)[None].float().add(0.5).requires_grad_()
    cond = torch.from_numpy(condition).permute(2, 0, 1)[None].float() + 0.5
    found = task.keep_known_points(cond, points)
    difference = found[0].permute(1, 2, 0).detach().numpy() - 0.5
    difference -= task.keep_known(condition, sample)
    assert np.abs(difference).max() < 1.5
    assert 0 <= float(found.detach().min()) <= float(found.detach().max()) <= 256
    found.sum().backward()
    if name == "inpaint":
        known = condition[..., 3] < 128
        assert (points.grad[0].permute(1, 2, 0).numpy()[known] == 0).all()
    assert points.grad.any()


def test_what_is_dropped_or_will_be_blurred_is_noted():
    image = np.full((120, 120, 3), 90, np.uint8)
    assert Colorize().note(Raster(image + np.array([12, 0, 0], np.uint8)), None) is None  # toned
    image[:20, :, 0] = 200
    assert "its colors will be replaced" in Colorize().note(Raster(image), None)
    assert SuperRes().note(Raster(image), None) is None
    for rim, side, said in ((24, 33, True), (24, 32, False), (0, 60, False)):
        note = Inpaint(rim=rim).note(
            Raster(image), box(120, 120, 20, 20, side, side) * np.uint8(255)
        )
        assert (note is not None and "expect blur" in note) == said


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 16), (2, 1), (3, 5), (17, 15), (16, 32)])
def test_pad_reflects_right_and_bottom(height, width):
    image = noise(height, width)
    padded = pad(image, 16)
    assert padded.dtype == np.uint8
    assert padded_size(height, width, 16) == padded.shape[:2]
    rows, columns = (
        [min(i % (2 * n - 2), -i % (2 * n - 2)) if n > 1 else 0 for i in range(-(-n // 16) * 16)]
        for n in (height, width)
    )
    np.testing.assert_array_equal(padded, image[np.ix_(rows, columns)])


@pytest.mark.parametrize("size", [(20, 40), (300, 400), (6, 8)])
def test_a_paired_condition_is_the_image_or_its_gray_at_model_scale(size):
    image = noise(*size)
    h, w = scaled_size(image, 20)
    resized = Image.fromarray(image).resize((w, h), Image.Resampling.BICUBIC)
    small = np.asarray(resized)
    np.testing.assert_array_equal(resize(image, h, w), small)
    for task, wanted in ((Paired(3, 20), small), (Paired(1, 20), gray(small)[..., None])):
        np.testing.assert_array_equal(task.condition(image), pad(wanted, 16))
        sample = noise(*task.model_size(image), 1)
        result = task.compose(image, sample)
        np.testing.assert_array_equal(result, sample[:h, :w])
        np.testing.assert_array_equal(task.reduce(image, result)[1], pad(result, 16))


def test_a_native_task_keeps_the_scale_of_the_condition():
    task, image = Paired(3, 24, native=True), noise(50, 70)
    assert task.model_size(image) == (64, 80)
    np.testing.assert_array_equal(task.condition(image), pad(image, 16))
    result = task.compose(image, noise(64, 80, 1))
    assert result.shape == image.shape
    assert [side.shape for side in task.reduce(image, result)] == [(64, 80, 3)] * 2
