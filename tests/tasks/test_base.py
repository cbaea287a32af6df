"""Padding, resizing and grey, which all tasks share."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from caflow_cli.errors import CaflowError
from caflow_cli.tasks import Colorize, Paired, SuperRes, pad
from caflow_cli.tasks.base import as_read, check_same_size, grey, padded_size, resize


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_a_picture_is_read_in_the_colours_of_its_condition():
    image = picture(4, 5)
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


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 16), (2, 1), (2, 3), (17, 15)])
def test_pad_takes_any_size(height, width):
    image = picture(height, width)
    padded = pad(image, 16)
    assert padded.dtype == np.uint8
    assert padded.shape == (-(-height // 16) * 16, -(-width // 16) * 16, 3)
    assert padded_size(height, width, 16) == padded.shape[:2]
    np.testing.assert_array_equal(padded[:height, :width], image)
    assert {tuple(p) for p in padded.reshape(-1, 3)} == {tuple(p) for p in image.reshape(-1, 3)}


def test_pad_leaves_multiples_alone():
    image = picture(16, 32)
    np.testing.assert_array_equal(pad(image, 16), image)


def test_resizing_and_grey_are_pillow_s_and_can_be_written_to():
    image = picture(9, 14)
    small = Image.fromarray(image).resize((7, 5), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(resize(image, 5, 7), np.asarray(small))
    np.testing.assert_array_equal(grey(image), np.asarray(Image.fromarray(image).convert("L")))
    assert resize(image, 5, 7).flags.writeable
    assert grey(image).flags.writeable
    assert resize(grey(image).astype(np.float32), 5, 7).dtype == np.float32


def test_pictures_of_one_size_match():
    check_same_size(picture(4, 6), picture(4, 6)[..., :1])
    with pytest.raises(CaflowError, match="the target is 5x4, the condition 6x4") as caught:
        check_same_size(picture(4, 6), picture(4, 5))
    assert caught.value.exit_code == 1
