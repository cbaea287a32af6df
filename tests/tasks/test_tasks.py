"""All tasks alike: construction, shapes, what condition, compose and reduce owe each other."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from drawn_masks import box
from PIL import Image

from caflow_cli.config import Config, FlowConfig, TaskConfig
from caflow_cli.errors import CaflowError
from caflow_cli.tasks import (
    TASKS,
    Colorize,
    Inpaint,
    Paired,
    SuperRes,
    get_task,
    held_out_conditions,
    pad,
    task_named,
)
from caflow_cli.tasks.base import as_read, grey, padded_size, resize, scaled_size

ALL = [SuperRes(), Colorize(), Inpaint(), Inpaint(3), Paired(), Paired(1)]
LABELS = ["superres", "colorize", "inpaint", "inpaint3", "paired", "paired1"]


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


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


@pytest.mark.parametrize(("name", "channels"), [("superres", 1), ("colorize", 3), ("inpaint", 1)])
def test_a_condition_of_other_channels_is_refused(name, channels):
    with pytest.raises(CaflowError, match="cond_channels") as caught:
        get_task(Config(FlowConfig(cond_channels=channels), TaskConfig(name)))
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("name", "near"), [("super-res", "superres"), ("COLORIZE", ""), ("color", "colorize")]
)
def test_unknown_tasks_name_the_nearest(name, near):
    with pytest.raises(CaflowError) as caught:
        task_named(name)
    assert caught.value.message == f"unknown task {name!r}"
    assert caught.value.hint.startswith("--task ")
    assert near in caught.value.hint
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("task", ALL, ids=LABELS)
@pytest.mark.parametrize(
    "size", [(64, 64), (16, 16), (1, 1), (1, 40), (300, 200), (65, 129), (90, 17)]
)
def test_any_size_is_taken(task, size):
    image = noise(*size)
    mask = mask_for(task, image)
    before = image.copy()
    condition = task.condition(image, mask)
    height, width = task.model_size(image, mask)
    assert condition.shape == (height, width, task.cond_channels)
    assert condition.dtype == np.uint8
    assert height % 16 == width % 16 == 0
    sample = noise(height, width, 1)
    result = task.compose(image, sample, mask)
    factor = 4 if task.name == "superres" else 1
    expected = scaled_size(image, 64) if task.name == "paired" else size
    assert result.shape == (factor * expected[0], factor * expected[1], 3)
    assert result.dtype == np.uint8
    reduced, target = task.reduce(image, result, mask)
    assert reduced.shape == condition.shape
    assert target.shape == sample.shape
    assert np.array_equal(image, before)


@pytest.mark.parametrize("task", ALL, ids=LABELS)
def test_at_model_size_a_sample_is_scored_under_its_own_condition(task):
    """Where nothing is padded or shrunk, reduce gives the condition sampled from, exactly."""
    image = noise(16, 16) if task.name == "superres" else noise(64, 64)
    mask = mask_for(task, image)
    result = task.compose(image, noise(64, 64, 1), mask)
    condition, target = task.reduce(image, result, mask)
    np.testing.assert_array_equal(condition, task.condition(image, mask))
    np.testing.assert_array_equal(target, result)


@pytest.mark.parametrize("task", [t for t in ALL if t.derives_condition], ids=LABELS[:4])
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
    np.testing.assert_array_equal(condition, task.condition(image, mask))


@pytest.mark.parametrize("task", [t for t in ALL if t.derives_condition], ids=LABELS[:4])
def test_held_out_conditions_repeat(task):
    target = noise(64, 64)
    first = task.held_out_condition(target, 7)
    assert first.shape == (64, 64, task.cond_channels)
    np.testing.assert_array_equal(first, task.held_out_condition(target, 7))
    differs = any(
        not np.array_equal(first, task.held_out_condition(target, i)) for i in range(8, 12)
    )
    assert differs == task.needs_mask


@pytest.mark.parametrize("task", ALL[1:], ids=LABELS[1:])
def test_a_target_of_another_size_is_refused(task):
    image = noise(20, 30)
    with pytest.raises(CaflowError, match="the target is 31x20, the condition 30x20") as caught:
        task.reduce(image, noise(20, 31), mask_for(task, image))
    assert caught.value.exit_code == 1


@pytest.mark.parametrize("task", ALL, ids=LABELS)
def test_a_sample_with_what_is_known_is_what_its_candidate_is_scored_as(task):
    side = 16 if task.name == "superres" else 64
    image = noise(side, side, 1) | 1  # nothing black, for a hole of three channels is
    mask = mask_for(task, image)
    if mask is not None:
        mask[:] = 0
        mask[16:48, 16:48] = 255  # a window of 64
    condition = task.condition(image, mask)
    sample = noise(64, 64, 2)
    known = image if task.name != "colorize" else np.repeat(condition, 3, axis=2)
    expected = task.reduce(known, task.compose(known, sample, mask), mask)
    np.testing.assert_array_equal(expected[0], condition)
    np.testing.assert_array_equal(task.keep_known(condition, sample), expected[1])


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_conditions_of_a_set_are_those_of_each_noise(layout):
    task = SuperRes()
    targets = np.stack([noise(16, 24, seed) for seed in range(20)])
    images = torch.from_numpy(targets).permute(0, 3, 1, 2).contiguous(memory_format=layout)
    before = images.clone()
    result = held_out_conditions(task, images)
    assert result.dtype == torch.uint8
    assert result.is_contiguous()
    expected = np.stack([task.training_condition(target) for target in targets])
    np.testing.assert_array_equal(result.permute(0, 2, 3, 1).numpy(), expected)
    assert torch.equal(images, before)


@pytest.mark.parametrize("name", ["superres", "colorize", "inpaint"])
def test_points_keep_what_is_known_as_images_do(name):
    """A task's two ways to compose a sample agree to rounding, and the second one has gradients."""
    task = TASKS[name]() if name != "inpaint" else TASKS[name](size=16)
    gen = np.random.default_rng(0)
    target, sample = (gen.integers(0, 256, (16, 16, 3), dtype=np.uint8) for _ in range(2))
    condition = task.training_condition(target)
    points = torch.from_numpy(sample).permute(2, 0, 1)[None].float().add(0.5).requires_grad_()
    cond = torch.from_numpy(condition).permute(2, 0, 1)[None].float() + 0.5
    found = task.keep_known_points(cond, points)
    wanted = task.keep_known(condition, sample)
    difference = found[0].permute(1, 2, 0).detach().numpy() - 0.5 - wanted
    assert np.abs(difference).max() < 1.5
    assert float(found.detach().min()) >= 0
    assert float(found.detach().max()) <= 256
    found.sum().backward()
    if name == "inpaint":
        known = condition[..., 3] < 128
        assert (points.grad[0].permute(1, 2, 0).numpy()[known] == 0).all()
    assert points.grad.any()


# --- notes, padding, resizing -------------------------------------------------------------------


def test_colours_that_are_dropped_are_noted():
    image = np.full((120, 120, 3), 90, np.uint8)
    assert Colorize().note(image + np.array([12, 0, 0], np.uint8), None) is None  # toned
    image[:20, :, 0] = 200
    assert "colours are dropped" in Colorize().note(image, None)
    assert SuperRes().note(image, None) is None


@pytest.mark.parametrize(("rim", "side", "said"), [(24, 33, True), (24, 32, False), (0, 60, False)])
def test_a_hole_too_wide_for_detail_is_noted(rim, side, said):
    mask = box(120, 120, 20, 20, side, side) * np.uint8(255)
    note = Inpaint(rim=rim).note(noise(120, 120), mask)
    assert (note is not None and "expect a blur" in note) == said


def test_an_image_is_read_in_the_colours_of_its_condition():
    image = noise(4, 5)
    for task in (Colorize(), Paired(1)):
        np.testing.assert_array_equal(as_read(task, image), grey(image)[..., None].repeat(3, 2))
    for task in (SuperRes(4), Paired(3)):
        assert as_read(task, image) is image


def test_pad_reflects_right_and_bottom():
    image = np.arange(3 * 5, dtype=np.uint8).reshape(3, 5, 1)
    padded = pad(image, 4)
    assert padded.shape == (4, 8, 1)
    np.testing.assert_array_equal(padded[:3, :5], image)
    np.testing.assert_array_equal(padded[3], padded[1])  # the last row is not repeated
    np.testing.assert_array_equal(padded[:, 5:, 0], padded[:, [3, 2, 1], 0])


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 16), (2, 1), (2, 3), (17, 15), (16, 32)])
def test_pad_takes_any_size(height, width):
    image = noise(height, width)
    padded = pad(image, 16)
    assert padded.dtype == np.uint8
    assert padded.shape == (-(-height // 16) * 16, -(-width // 16) * 16, 3)
    assert padded_size(height, width, 16) == padded.shape[:2]
    np.testing.assert_array_equal(padded[:height, :width], image)
    assert {tuple(p) for p in padded.reshape(-1, 3)} == {tuple(p) for p in image.reshape(-1, 3)}


def test_resizing_and_grey_are_pillow_s_and_can_be_written_to():
    image = noise(9, 14)
    small = Image.fromarray(image).resize((7, 5), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(resize(image, 5, 7), np.asarray(small))
    np.testing.assert_array_equal(grey(image), np.asarray(Image.fromarray(image).convert("L")))
    assert resize(image, 5, 7).flags.writeable
    assert grey(image).flags.writeable
    assert resize(grey(image).astype(np.float32), 5, 7).dtype == np.float32


# --- paired -------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(20, 40), (300, 400), (6, 8)])
def test_a_paired_condition_is_the_image_or_its_grey_at_model_scale(size):
    image = noise(*size)
    h, w = scaled_size(image, 20)
    small = image if (h, w) == size else resize(image, h, w)
    for task, wanted in ((Paired(3, 20), small), (Paired(1, 20), grey(small)[..., None])):
        condition = task.condition(image)
        np.testing.assert_array_equal(condition, pad(wanted, 16))
        sample = noise(*task.model_size(image), 1)
        result = task.compose(image, sample)
        np.testing.assert_array_equal(result, sample[:h, :w])
        found, target = task.reduce(image, result)
        np.testing.assert_array_equal(found, condition)
        np.testing.assert_array_equal(target, pad(result, 16))
    if (h, w) != size:
        with pytest.raises(CaflowError, match=f"which is {w}x{h} at model scale"):
            Paired(3, 20).reduce(image, image)


def test_a_native_task_keeps_the_scale_of_the_condition():
    task, image = Paired(3, 24, native=True), noise(50, 70)
    assert task.model_size(image) == (64, 80)
    np.testing.assert_array_equal(task.condition(image), pad(image, 16))
    result = task.compose(image, noise(64, 80, 1))
    assert result.shape == image.shape
    assert [side.shape for side in task.reduce(image, result)] == [(64, 80, 3)] * 2


def test_pairs_have_no_condition_of_their_own():
    with pytest.raises(CaflowError, match="pairs"):
        Paired().held_out_condition(noise(8, 8), 0)
