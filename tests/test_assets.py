from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from caflow_cli.assets import ASSETS, example_path
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


def test_the_grey_room_and_the_central_hole():
    with Image.open(example_path("room")) as grey:
        assert grey.mode == "L"
        colour = Image.fromarray(read_image(example_path("room_64")))
        assert grey.tobytes() == colour.convert("L").tobytes()
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
