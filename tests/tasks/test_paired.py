"""Paired translation: the picture is the condition, at model scale and padded."""

from __future__ import annotations

import numpy as np
import pytest

from caflow_cli.errors import CaflowError
from caflow_cli.tasks import Paired, pad
from caflow_cli.tasks.base import grey, resize


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_the_condition_is_the_picture_or_its_grey():
    image = picture(20, 40)
    np.testing.assert_array_equal(Paired(3, 20).condition(image), pad(image, 16))
    np.testing.assert_array_equal(Paired(1, 20).condition(image), pad(grey(image), 16)[..., None])


def test_a_picture_of_any_size_comes_to_the_models_scale():
    for height, width in ((300, 400), (6, 8)):
        image, task = picture(height, width), Paired(1, 24)
        assert task.model_size(image) == (32, 32)
        expected = pad(grey(resize(image, 24, 32)), 16)[..., None]
        np.testing.assert_array_equal(task.condition(image), expected)
        result = task.compose(image, picture(32, 32, 1))
        assert result.shape == (24, 32, 3)
        assert [side.shape for side in task.reduce(image, result)] == [(32, 32, 1), (32, 32, 3)]
        with pytest.raises(CaflowError, match="which is 32x24 at model scale"):
            task.reduce(image, image)


def test_a_native_task_keeps_the_scale_of_the_condition():
    task, image = Paired(3, 24, native=True), picture(50, 70)
    assert task.model_size(image) == (64, 80)
    np.testing.assert_array_equal(task.condition(image), pad(image, 16))
    result = task.compose(image, picture(64, 80, 1))
    assert result.shape == image.shape
    assert [side.shape for side in task.reduce(image, result)] == [(64, 80, 3)] * 2


def test_compose_crops_and_reduce_pads():
    task, image, draw = Paired(size=20), picture(20, 40), picture(32, 48, 1)
    result = task.compose(image, draw)
    np.testing.assert_array_equal(result, draw[:20, :40])
    condition, target = task.reduce(image, result)
    np.testing.assert_array_equal(condition, task.condition(image))
    np.testing.assert_array_equal(target, pad(result, 16))


def test_pairs_have_no_condition_of_their_own():
    with pytest.raises(CaflowError, match="pairs"):
        Paired().training_condition(picture(8, 8))
    with pytest.raises(CaflowError, match="pairs"):
        Paired().held_out_condition(picture(8, 8), 0)
