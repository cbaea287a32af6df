"""Inpainting keeps what is known, and shows the model the hole with its context."""

import drawn_masks
import numpy as np
import pytest
from helpers import noise
from hypothesis import given, settings, strategies as st

from caflow_cli.errors import CaflowError
from caflow_cli.tasks import HoleWindow, Inpaint


def smooth(height: int, width: int) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    parts = [120 + 80 * np.sin(rows / 9), 255 * columns / width, 120 + 60 * np.cos(columns / 7)]
    return np.stack(parts, -1).astype(np.uint8)


def as_mask(hole: np.ndarray) -> np.ndarray:
    return np.where(hole, np.uint8(255), np.uint8(0))


def box(*place: int) -> np.ndarray:
    return as_mask(drawn_masks.box(*place))


def only(image: np.ndarray, mask: np.ndarray, channels: int = 4) -> HoleWindow:
    """The one window of a hole."""
    (part,) = Inpaint(channels, window=64).parts(image, mask)
    return part


def test_an_image_of_model_size_is_read_whole_and_filled_in_the_hole_alone():
    image, mask = noise(64, 64), box(64, 64, 5, 40, 50, 20)
    part, hole = only(image, mask), mask == 255
    condition = part.condition(image)
    np.testing.assert_array_equal(condition[..., :3], np.where(hole[..., None], 128, image))
    np.testing.assert_array_equal(condition[..., 3], mask)
    paper = only(image, mask, 3).condition(image)
    np.testing.assert_array_equal(paper, np.where(hole[..., None], 0, image))
    result = part.compose(image.copy(), np.full((64, 64, 3), 77, np.uint8))
    np.testing.assert_array_equal(result, np.where(hole[..., None], 77, image))


def test_a_thick_hole_takes_half_of_its_window_and_lies_in_its_middle():
    image = smooth(1000, 800)
    cells = only(image, box(1000, 800, 400, 300, 100, 60)).condition(image)[..., 3] == 255
    rows, columns = np.flatnonzero(cells.any(1)), np.flatnonzero(cells.any(0))
    assert (rows[0], rows[-1]) == (16, 47)
    assert abs(columns[0] + columns[-1] - 63) <= 1
    assert len(columns) == pytest.approx(32 * 0.6, abs=2)


def test_a_window_at_the_border_is_moved_inside():
    image = smooth(300, 200)
    condition = only(image, box(300, 200, 270, 170, 30, 30)).condition(image)
    np.testing.assert_array_equal(condition[:34, :34, :3], image[236:270, 136:170])
    assert (condition[34:, 34:, 3] == 255).all()


def test_a_cell_that_touches_the_hole_is_hole():
    """A cell is about 3.1 pixels, so some rows touch two."""
    for first, last in ((0, 199), (3, 198), (4, 150), (24, 175), (25, 199)):
        image, mask = smooth(200, 200), box(200, 200, first, 0, last - first + 1, 200)
        part = only(image, mask)
        assert part.place.window == (0, 0, 200, 200)
        assert part.place.shrunk
        cells = part.condition(image)[..., 3] == 255
        step = 200 / 64
        expected = np.zeros((64, 64), np.bool_)
        expected[int(first // step) : int(np.ceil((last + 1) / step))] = True
        np.testing.assert_array_equal(cells, expected)


def test_a_fill_is_put_back_where_it_was_taken_from():
    """The window shrunk, its truth as the sample, and put back: smooth images come back."""
    image = smooth(400, 400)
    for top, left in ((0, 0), (120, 90), (260, 250)):
        mask = box(400, 400, top, left, 140, 140)
        part = only(image, mask)
        truth = part.reduce(image, image)[1]
        result = part.compose(np.where(mask[..., None] > 0, 0, image), truth)
        assert np.abs(result.astype(int) - image)[4:-4, 4:-4].max() <= 12
        shifted = np.roll(image, 4, axis=0)
        error, moved = (np.abs(result.astype(int) - x)[mask > 0].mean() for x in (image, shifted))
        assert error < 1.5
        assert moved > 5 * error


def test_a_smaller_image_is_padded_with_its_hole():
    image = noise(40, 50)
    condition = only(image, box(40, 50, 35, 10, 5, 5)).condition(image)
    assert condition.shape == (64, 64, 4)
    np.testing.assert_array_equal(condition[40:, :50], condition[15:39, :50][::-1])
    assert (condition[40:43, 10:15, 3] == 255).all()


@pytest.mark.parametrize("size", [(40, 50), (64, 64), (9, 9)])
def test_known_and_unknown_values_are_counted_with_the_padding(size):
    image = noise(*size)
    part = only(image, box(*size, size[0] - 5, 2, 4, 5))
    hole = part.condition(image)[..., 3] == 255
    known, unknown = part.values
    assert unknown == 3 * hole.sum()
    assert known == 3 * (~hole).sum()


def test_the_fill_is_gray_only_if_known_pixels_are_gray():
    gray = np.repeat(noise(64, 64)[..., :1], 3, 2)
    sample = noise(64, 64, 5)
    for image, mask, is_gray in (
        (gray, box(64, 64, 20, 20, 9, 9), True),
        (noise(64, 64), box(64, 64, 20, 20, 9, 9), False),
        (gray, np.full((64, 64), 255, np.uint8), False),  # nothing is known
    ):
        result = only(image, mask).compose(image.copy(), sample)
        assert np.ptp(result[mask > 0], axis=-1).any() == (not is_gray)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.full((20, 31), 255, np.uint8), "the mask is 31x20, the image 30x20"),
        (np.full((20, 30), 127, np.uint8), "brightest value is 127, and white is 128 or more"),
    ],
)
def test_a_mask_that_does_not_fit_is_refused(mask, message):
    with pytest.raises(CaflowError, match=message) as caught:
        Inpaint().parts(noise(20, 30), mask)
    assert caught.value.hint


def test_a_mask_is_white_from_128_up():
    mask = np.full((64, 64), 127, np.uint8)
    mask[20:30, 20:40] = 128
    np.testing.assert_array_equal(Inpaint().hole(noise(64, 64), mask), mask == 128)


@pytest.mark.parametrize(
    ("shape", "side"),
    [((20, 30), 32), ((32, 40), 48), ((50, 64), 64), ((64, 64), 64), ((200, 90), 64)],
)
def test_windows_are_larger_in_larger_images(shape, side):
    task = Inpaint(size=32, rim=8, window=64)
    image, mask = np.zeros((*shape, 3), np.uint8), box(*shape, 5, 3, 7, 6)
    assert task.model_size(image) == (side, side)
    [part] = task.parts(image, mask)
    assert part.condition(image).shape == (side, side, 4)
    seen = max(32, min(64, max(shape)))
    assert part.place.window == (0, 0, min(seen, shape[1]), min(seen, shape[0]))
    assert not part.place.shrunk


@pytest.mark.parametrize(
    ("shape", "hole", "seen"),
    [
        ((128, 128), (50, 60, 9, 20), (0, 0, 128, 128)),
        ((127, 127), (50, 60, 9, 20), (38, 22, 64, 64)),  # below twice the model's side
        ((300, 200), (200, 60, 9, 20), (0, 100, 200, 200)),
        ((300, 200), (10, 60, 140, 20), (0, 0, 200, 280)),
    ],
)
def test_models_of_whole_images_read_them_shrunk_as_a_whole(shape, hole, seen):
    (part,) = Inpaint().parts(np.zeros((*shape, 3), np.uint8), box(*shape, *hole))
    assert part.place.window == seen
    assert part.place.shrunk == (min(shape) >= 128)


def walk(task: Inpaint, image: np.ndarray, mask: np.ndarray, seed: int = 9):
    """Fill the hole with noise: the parts, the condition of each, and the image after it."""
    found = []
    for number, part in enumerate(task.parts(image, mask)):
        condition = part.condition(image)
        image = part.compose(image.copy(), noise(64, 64, seed + number))
        found.append((part, condition, image))
    return found


SCRATCH = drawn_masks.line(200, 300, [(0, 30), (299, 170)], 5)
BLOTCH = SCRATCH | drawn_masks.box(200, 300, 90, 180, 80, 100)


@given(drawn_masks.masks(), st.sampled_from([4, 3]), st.sampled_from([0, 64]))
@settings(max_examples=40, deadline=None)
def test_all_parts_fill_the_hole_and_keep_every_other_pixel(hole, channels, window):
    image = noise(*hole.shape)
    found = walk(Inpaint(channels, window=window), image, as_mask(hole))
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
    """So what a sample has outside of the hole leaves no trace at the hole's edge."""
    image = noise(200, 300)
    part = only(image, box(200, 300, 40, 60, 120, 160))
    inside = part.condition(image)[..., 3:] == 255  # as the model reads the hole
    assert part.place.shrunk
    assert not inside.all()
    sample = noise(64, 64, 3)
    changed = np.where(inside, sample, noise(64, 64, 4))
    filled = [part.compose(image.copy(), one) for one in (sample, changed)]
    np.testing.assert_array_equal(*filled)


@pytest.mark.parametrize("hole", [SCRATCH, BLOTCH])
def test_the_condition_of_each_part_is_had_again_from_the_final_image(hole):
    """Besides, none of them reads what the user's image has in the hole."""
    image, mask = noise(200, 300), as_mask(hole)
    found = walk(Inpaint(window=64), image, mask)
    assert len(found) > 3
    assert any(part.place.shrunk for part, _, _ in found) == (hole is BLOTCH)
    result = found[-1][2]
    hidden = np.where(hole[..., None], noise(200, 300, 5), image)
    for part, condition, after in found:
        for given_image in (image, hidden):
            again, target = part.reduce(given_image, result)
            np.testing.assert_array_equal(again, condition)
            known = condition[..., 3] == 0
            np.testing.assert_array_equal(target[known], condition[known][:, :3])
            np.testing.assert_array_equal(part.reduce(given_image, after)[1], target)


def test_a_part_reads_what_the_last_one_filled_and_scores_what_the_target_has_there():
    image, mask, other = noise(200, 300), as_mask(SCRATCH), noise(200, 300, 1)
    found, seen = walk(Inpaint(window=64), image, mask), 0
    for (part, condition, _), (_, _, before) in zip(found[1:], found, strict=False):
        hole = part.hole[..., None]
        wanted = np.concatenate([np.where(hole, 128, part.window.of(before)), 255 * hole], 2)
        np.testing.assert_array_equal(condition, wanted)
        reduced, target = part.reduce(image, other)
        np.testing.assert_array_equal(target, part.window.of(other))
        np.testing.assert_array_equal(reduced[part.earlier][:, :3], target[part.earlier])
        known = ~part.window.of(SCRATCH)
        np.testing.assert_array_equal(reduced[known][:, :3], part.window.of(image)[known])
        seen += int(part.earlier.sum())
    assert seen > 0
