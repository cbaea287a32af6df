from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from caflow_cli.assets import ASSETS, WEIGHTS_DIR, example_path
from caflow_cli.errors import CaflowError
from caflow_cli.images import read_image
from caflow_cli.tasks import SuperRes
from caflow_cli.tasks.holes import central_hole

from .examples.draw_room import draw_room
from .examples.draw_shoe import draw_shoe


def test_folders():
    assert (ASSETS / "__init__.py").is_file()
    assert WEIGHTS_DIR == ASSETS / "weights"


def test_examples_are_a_face_and_its_small_version():
    large, small = read_image(example_path("face_64")), read_image(example_path("face"))
    assert large.shape == (64, 64, 3)
    assert small.shape == (16, 16, 3)
    assert small.tobytes() == SuperRes(4).degrade(large).tobytes()


def test_the_crop_is_the_one_that_its_readme_names():
    data = pytest.importorskip("skimage.data", reason="scikit-image is not installed")
    try:
        portrait = data.astronaut()
    except Exception as error:
        pytest.skip(f"scikit-image's astronaut.png is missing: {error}")
    face = Image.fromarray(portrait).crop((128, 12, 322, 206))
    face = face.resize((64, 64), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(read_image(example_path("face_64")), np.asarray(face))
    readme = (ASSETS / "examples" / "README.md").read_text(encoding="utf-8")
    assert "column 128, row 12 to column 322, row 206" in readme


def test_the_room_is_a_rendering_and_its_grey():
    colour = read_image(example_path("room_64"))
    rough = np.asarray(draw_room(samples=6)).astype(float)
    # Few samples leave noise, the averages of blocks of pixels have little of it.
    noise = (rough - colour).reshape(8, 8, 8, 8, 3).mean((1, 3))
    assert np.abs(noise).max() < 12
    with Image.open(example_path("room")) as grey:
        assert grey.mode == "L"
        assert grey.tobytes() == Image.fromarray(colour).convert("L").tobytes()


def test_the_shoe_is_drawn_and_the_hole_is_the_central_one():
    assert read_image(example_path("shoe")).tobytes() == draw_shoe().tobytes()
    hole = read_image(example_path("hole"))[..., 0]
    np.testing.assert_array_equal(hole, 255 * central_hole(64, 64))


@pytest.mark.parametrize("name", ["fase", "", "README", "face.png", "../examples/face"])
def test_unknown_examples_list_the_known(name):
    with pytest.raises(CaflowError) as caught:
        example_path(name)
    assert caught.value.message == f"no example {name!r}"
    assert caught.value.hint == "the examples are face, face_64, hole, room, room_64, shoe"
    assert caught.value.exit_code == 2
