from __future__ import annotations

import pytest

from caflow_cli.data.columns import choose_columns, lay_out, split_of
from caflow_cli.errors import CaflowError


@pytest.mark.parametrize(
    ("names", "role", "chosen", "found"),
    [
        (["image", "thumbnail"], "pictures", {}, ("image",)),
        (["Image"], "pictures", {}, ("Image",)),
        (["whatever"], "pictures", {}, ("whatever",)),
        (["whatever", "other"], "pictures", {"image": "other"}, ("other",)),
        (["condition", "target"], "pictures", {}, ("target",)),
        (["condition", "target"], "pairs", {}, ("condition", "target")),
        (["image", "conditioning_image"], "pairs", {}, ("conditioning_image", "image")),
        (["x", "y"], "pairs", {"condition": "y", "target": "x"}, ("y", "x")),
        (["A", "B"], "pairs", {}, ("A", "B")),
        (["image", "mask"], "masks", {}, ("mask",)),
        (["image"], "masks", {}, ("image",)),
    ],
)
def test_columns_are_known_by_their_names(names, role, chosen, found):
    assert choose_columns(names, role, chosen, "set") == found


@pytest.mark.parametrize(
    ("names", "role", "chosen", "hint"),
    [
        (["x", "y"], "pictures", {}, "name it: 'set#image=x'"),
        (["x", "y"], "pairs", {}, "name it: 'set#condition=x,target=...'"),
        (["x"], "pictures", {"image": "z"}, "name it: 'set#image=x'"),
        ([], "pictures", {}, "give a set that has one"),
    ],
)
def test_a_hint_names_the_columns(names, role, chosen, hint):
    with pytest.raises(CaflowError) as caught:
        choose_columns(names, role, chosen, "set#stream")
    assert caught.value.hint == hint
    assert caught.value.exit_code == 2


def test_rows_get_names_as_in_a_folder():
    rows = [("train", "a.png"), ("val", "a.png"), ("train", "a.png"), (None, "../b.png")]
    assert lay_out(rows, ("image",)) == {
        "train/a.png": (0, "image"),
        "val/a.png": (1, "image"),
        "train/00000002-a.png": (2, "image"),
        "00000003-b.png": (3, "image"),
    }
    assert lay_out([("test", "a.png")], ("x", "y")) == {
        "test/A/a.png": (0, "x"),
        "test/B/a.png": (0, "y"),
    }


def test_pairs_get_stems_of_their_own():
    rows = [(None, "a.png"), (None, "a.jpg"), ("val", "a.bmp"), (None, "sub/a.png"), (None, "a")]
    names = ["a.png", "00000001-a.jpg", "val/a.bmp", "sub/a.png", "00000004-a"]
    assert list(lay_out(rows, ("image",))) == ["a.png", "a.jpg", "val/a.bmp", "sub/a.png", "a"]
    paired = list(lay_out(rows, ("x", "y")))[::2]
    assert [name.replace("A/", "") for name in paired] == names


def test_splits_are_known_by_their_names():
    names = ["train", "validation", "test-0001.tar", "val/a.tar", "training_set", "trainer", "x/y"]
    assert [split_of(name) for name in names] == [
        *("train", "val", "test", "val", "train", None, None)
    ]
