from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from caflow_cli.assets import example_path
from caflow_cli.errors import CaflowError
from caflow_cli.images import read_image
from caflow_cli.tasks import SuperRes
from caflow_cli.tasks.holes import central_hole


@pytest.mark.parametrize(("name", "side"), [("face", 64), ("cat", 192)])
def test_examples_are_an_image_and_its_small_version(name, side):
    large, small = read_image(example_path(f"{name}_{side}")), read_image(example_path(name))
    assert large.shape == (side, side, 3)
    assert small.shape == (side // 4, side // 4, 3)
    assert small.tobytes() == SuperRes(4).degrade(large).tobytes()


def test_the_gray_room_and_the_central_hole():
    with Image.open(example_path("room")) as gray:
        assert gray.mode == "L"
        color = Image.fromarray(read_image(example_path("room_64")))
        assert gray.tobytes() == color.convert("L").tobytes()
    hole = read_image(example_path("hole"))[..., 0]
    np.testing.assert_array_equal(hole, 255 * central_hole(64, 64))


@pytest.mark.parametrize("name", ["fase", "", "README", "face.png", "../examples/face"])
def test_unknown_examples_list_the_known(name):
    with pytest.raises(CaflowError) as caught:
        example_path(name)
    assert caught.value.message == f"no example {name!r}"
    assert caught.value.hint == (
        "the examples are cat, cat_192, face, face_64, hole, map, old, rain, room, room_64, scratch"
    )
    assert caught.value.exit_code == 2
