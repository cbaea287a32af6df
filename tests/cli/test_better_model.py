"""The hint that names the bundled model of faces."""

from __future__ import annotations

import os

import numpy as np
import pytest
from PIL import Image

from caflow_cli.assets import example_path
from caflow_cli.cli import better_model as module
from caflow_cli.cli.better_model import better_model, faceness, layout
from caflow_cli.data import open_split
from caflow_cli.images import read_image
from caflow_cli.tasks import Picture

TEST_DATA = os.environ.get("CAFLOW_TEST_DATA")


def mean_face(side: int) -> Picture:
    """The rule's mean face: what all faces have in common."""
    levels = 128 + 45 * np.array(module._rule()["mean"]).reshape(8, 8)
    grey = Image.fromarray(levels.round().astype(np.uint8))
    return np.asarray(grey.resize((side, side), Image.Resampling.NEAREST).convert("RGB"))


FACE = mean_face(16)


@pytest.mark.parametrize("task", ["superres", "inpaint"])
def test_an_aligned_face_has_a_model_of_its_own(task):
    assert (
        better_model(task, FACE)
        == {
            "superres": "faces-superres-x4",
            "inpaint": "faces-inpaint",
        }[task]
    )


@pytest.mark.parametrize("name", ["room", "map", "hole"])
def test_other_pictures_have_none(name):
    picture = np.asarray(Image.fromarray(read_image(example_path(name))).resize((16, 16)))
    assert better_model("superres", picture) is None


@pytest.mark.parametrize(("side", "found"), [(32, True), (33, False)])
def test_a_large_portrait_is_left_to_the_model_of_photographs(side, found):
    assert (better_model("superres", mean_face(side)) is not None) == found


@pytest.mark.skipif(TEST_DATA is None, reason="CAFLOW_TEST_DATA is not set")
@pytest.mark.parametrize(("data", "least", "most"), [("faces64", 0.7, 1), ("bedrooms64", 0, 0.02)])
def test_three_faces_of_four_are_known_and_hardly_any_room(data, least, most):
    with open_split(f"{TEST_DATA}/{data}.zip", "test", 64) as reader:
        pictures = [reader.read(k)[0] for k in range(100)]
    assert least <= np.mean([better_model("inpaint", one) is not None for one in pictures]) <= most


def test_a_task_without_a_model_of_faces_has_no_hint():
    assert better_model("colorize", FACE) is None


def test_a_model_that_is_not_in_the_manifest_is_not_named(monkeypatch):
    rule = {**module._rule(), "models": {"superres": "gone"}}
    monkeypatch.setattr(module, "_rule", lambda: rule)
    assert better_model("superres", FACE) is None


def test_the_layout_ignores_brightness_and_takes_the_central_square():
    wide = np.concatenate(
        [np.full((16, 8, 3), 255, np.uint8), FACE, np.zeros((16, 8, 3), np.uint8)], 1
    )
    np.testing.assert_array_equal(layout(wide), layout(FACE))
    darker = (FACE * 0.5).astype(np.uint8)
    assert np.corrcoef(layout(darker), layout(FACE))[0, 1] > 0.999
    assert abs(layout(FACE).mean()) < 1e-12


def test_mirrored_faces_are_faces():
    assert abs(faceness(FACE[:, ::-1]) - faceness(FACE)) < 3
    assert faceness(FACE[::-1]) < 0  # on its head
