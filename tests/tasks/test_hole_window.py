"""A part sees what earlier parts have filled, fills its own hole, and is scored as it was drawn."""

from __future__ import annotations

import numpy as np
import pytest
from drawn_masks import box, line, masks
from hypothesis import given, settings
from hypothesis import strategies as st

from caflow_cli.errors import CaflowError
from caflow_cli.tasks import Inpaint
from caflow_cli.tasks.hole_window import marked


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def as_mask(hole: np.ndarray) -> np.ndarray:
    return np.where(hole, np.uint8(255), np.uint8(0))


def walk(task: Inpaint, image: np.ndarray, mask: np.ndarray, seed: int = 9):
    """Fill the hole with noise: the parts, the condition of each, and the picture behind it."""
    found = []
    for number, part in enumerate(task.parts(image, mask)):
        condition = part.condition(image)
        image = part.compose(image, picture(64, 64, seed + number))
        found.append((part, condition, image))
    return found


SCRATCH = line(200, 300, [(0, 30), (299, 170)], 5)
BLOTCH = SCRATCH | box(200, 300, 90, 180, 80, 100)


@given(masks(), st.sampled_from([4, 3]))
@settings(max_examples=60, deadline=None)
def test_all_parts_fill_the_hole_and_keep_every_other_pixel(hole, channels):
    image = picture(*hole.shape)
    found = walk(Inpaint(channels), image, as_mask(hole))
    result = found[-1][2]
    np.testing.assert_array_equal(result[~hole], image[~hole])
    filled = np.zeros_like(hole, np.int32)
    for part, condition, _ in found:
        assert condition.shape == (64, 64, channels)
        left, top, width, height = part.place.window
        filled[top : top + height, left : left + width] += part.hole
        assert part.place.pixels == part.hole.sum() > 0
        assert not (part.hole & part.earlier).any()
    np.testing.assert_array_equal(filled, hole)


def test_a_shrunk_part_takes_known_pixels_from_the_image_before_it_is_enlarged():
    """So what a draw has outside of the hole leaves no trace at the hole's edge."""
    hole = box(200, 300, 40, 60, 120, 160)
    image = picture(200, 300)
    parts = [p for p in Inpaint(4).parts(image, as_mask(hole)) if p.place.shrunk]
    assert parts
    for part in parts:
        inside = part.condition(image)[..., 3:] == 255  # as the model sees the hole
        draw, other = picture(64, 64, 3), picture(64, 64, 4)
        assert not inside.all()
        changed = np.where(inside, draw, other)
        np.testing.assert_array_equal(part.compose(image, draw), part.compose(image, changed))


@pytest.mark.parametrize("hole", [SCRATCH, BLOTCH])
def test_the_condition_of_each_part_is_had_again_from_the_final_picture(hole):
    """And none of them reads what the user's picture has in the hole."""
    task, image, mask = Inpaint(), picture(200, 300), as_mask(hole)
    found = walk(task, image, mask)
    assert len(found) > 3
    assert any(part.place.shrunk for part, _, _ in found) == (hole is BLOTCH)
    result = found[-1][2]
    hidden = np.where(hole[..., None], picture(200, 300, 5), image)
    for part, condition, behind in found:
        for given_image in (image, hidden):
            again, target = part.reduce(given_image, result)
            np.testing.assert_array_equal(again, condition)
            known = condition[..., 3] == 0
            np.testing.assert_array_equal(target[known], condition[known][:, :3])
            np.testing.assert_array_equal(part.reduce(given_image, behind)[1], target)


def test_a_part_sees_what_the_last_one_filled():
    task, image, mask = Inpaint(), picture(200, 300), as_mask(SCRATCH)
    found = walk(task, image, mask)
    seen = 0
    for (part, condition, _), (_, _, before) in zip(found[1:], found, strict=False):
        own = part.window.of(before)
        np.testing.assert_array_equal(condition, marked(own, part.hole, 4))
        seen += int(part.earlier.sum())
    assert seen > 0


def test_what_is_known_is_taken_from_the_picture_and_what_is_filled_from_the_target():
    task, image, mask = Inpaint(), picture(200, 300), as_mask(SCRATCH)
    other = picture(200, 300, 1)
    part = next(part for part in task.parts(image, mask) if part.earlier.any())
    condition, target = part.reduce(image, other)
    rows, columns = part.window.rows, part.window.columns
    np.testing.assert_array_equal(target, other[rows, columns])
    np.testing.assert_array_equal(condition[part.earlier][:, :3], target[part.earlier])
    known = ~SCRATCH[rows, columns]
    np.testing.assert_array_equal(condition[known][:, :3], image[rows, columns][known])
    with pytest.raises(CaflowError, match="the target is 31x20, the condition 300x200"):
        part.reduce(image, picture(20, 31))


@pytest.mark.parametrize("size", [(200, 300), (40, 300), (300, 20), (9, 9)])
def test_a_map_is_spread_without_loss(size):
    hole = box(*size, 1, 1, size[0] - 2, size[1] - 2)
    for part in Inpaint().parts(picture(*size), as_mask(hole)):
        values = np.random.default_rng(0).normal(size=(2, 64, 64))
        found = part.spread(values)
        assert found.shape == (2, *part.hole.shape)
        np.testing.assert_allclose(found.sum((1, 2)), values.sum((1, 2)))


def test_a_map_of_a_native_window_is_as_it_is():
    part = Inpaint().parts(picture(200, 300), as_mask(SCRATCH))[1]
    values = np.random.default_rng(0).normal(size=(64, 64))
    np.testing.assert_array_equal(part.spread(values), values)
