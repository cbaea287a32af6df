from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from caflow_cli.assets import ASSETS, WEIGHTS_DIR, example_path
from caflow_cli.errors import CaflowError
from caflow_cli.images import read_image
from caflow_cli.tasks import SuperRes
from caflow_cli.tasks.holes import central_hole

from .examples.draw_map import draw_map
from .examples.draw_room import draw_room
from .examples.draw_scratch import draw_scratch


def test_folders():
    assert (ASSETS / "__init__.py").is_file()
    assert WEIGHTS_DIR == ASSETS / "weights"


@pytest.mark.parametrize(("name", "side"), [("face", 64), ("cat", 192)])
def test_examples_are_a_picture_and_its_small_version(name, side):
    large, small = read_image(example_path(f"{name}_{side}")), read_image(example_path(name))
    assert large.shape == (side, side, 3)
    assert small.shape == (side // 4, side // 4, 3)
    assert small.tobytes() == SuperRes(4).degrade(large).tobytes()


@pytest.mark.parametrize(
    ("name", "source", "box", "side"),
    [
        ("face", "astronaut", (128, 12, 322, 206), 64),
        ("cat", "chelsea", (90, 0, 390, 300), 192),
    ],
)
def test_the_crops_are_those_that_their_readme_names(name, source, box, side):
    data = pytest.importorskip("skimage.data", reason="scikit-image is not installed")
    try:
        whole = getattr(data, source)()
    except Exception as error:
        pytest.skip(f"scikit-image's {source}.png is missing: {error}")
    part = Image.fromarray(whole).crop(box).resize((side, side), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(read_image(example_path(f"{name}_{side}")), np.asarray(part))
    readme = (ASSETS / "examples" / "README.md").read_text(encoding="utf-8")
    left, top, right, bottom = box
    assert f"column {left}, row {top} to column {right}, row {bottom}" in readme


def test_the_room_is_a_rendering_and_its_grey():
    colour = read_image(example_path("room_64"))
    rough = np.asarray(draw_room(samples=6)).astype(float)
    # Few samples leave noise, the averages of blocks of pixels have little of it.
    noise = (rough - colour).reshape(8, 8, 8, 8, 3).mean((1, 3))
    assert np.abs(noise).max() < 12
    with Image.open(example_path("room")) as grey:
        assert grey.mode == "L"
        assert grey.tobytes() == Image.fromarray(colour).convert("L").tobytes()


def test_the_map_and_the_scratches_are_drawn_and_the_hole_is_the_central_one():
    assert read_image(example_path("map")).tobytes() == draw_map().tobytes()
    np.testing.assert_array_equal(read_image(example_path("scratch"))[..., 0], draw_scratch())
    hole = read_image(example_path("hole"))[..., 0]
    np.testing.assert_array_equal(hole, 255 * central_hole(64, 64))


@pytest.mark.parametrize("name", ["fase", "", "README", "face.png", "../examples/face"])
def test_unknown_examples_list_the_known(name):
    with pytest.raises(CaflowError) as caught:
        example_path(name)
    assert caught.value.message == f"no example {name!r}"
    assert caught.value.hint == (
        "the examples are cat, cat_192, face, face_64, hole, map, room, room_64, scratch"
    )
    assert caught.value.exit_code == 2
