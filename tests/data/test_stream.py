from __future__ import annotations

import numpy as np
import pytest

from caflow_cli.data import DamagedError, load_pairs, load_split, open_split

from .stored import flat, store


def test_a_split_is_the_one_that_is_loaded_whole(tmp_path):
    path = store(tmp_path, {f"train/{i:03d}.png": flat(i, 10) for i in range(9)}, "folder")
    whole = load_split(path, "val", 8)
    with open_split(path, "val", 8) as source:
        assert (source.split, source.names) == ("val", whole.names)
        (picture,) = source.read(0)
    np.testing.assert_array_equal(picture, whole.images[0].permute(1, 2, 0).numpy())


def test_pairs_too(tmp_path):
    sides = (("A", 0), ("B", 100))
    files = {f"test/{side}/{i}.png": flat(i + shift) for i in range(3) for side, shift in sides}
    path = store(tmp_path, files | {"train/A/x.png": flat(0), "train/B/x.png": flat(0)}, "folder")
    whole = load_pairs(path, "test", 8)
    with open_split(path, paired=True) as source:
        assert (source.split, source.names) == ("test", whole.names)
        condition, target = source.read(2)
    assert (condition[0, 0, 0], target[0, 0, 0]) == (2, 102)


def test_without_a_test_folder_it_is_everything_as_it_is(tmp_path):
    files = {"b/1.png": flat(1), "a.png": flat(2, 5), "c.jpg": b"no picture"}
    with open_split(store(tmp_path, files, "folder")) as source:
        assert (source.split, source.names) == ("all", ["a.png", "b/1.png", "c.jpg"])
        assert source.read(0)[0].shape == (5, 5, 3)
        with pytest.raises(DamagedError, match=r"c\.jpg"):
            source.read(2)


def test_a_split_says_the_seed_that_held_it_out(tmp_path):
    path = store(tmp_path, {f"{i:03d}.png": flat(i) for i in range(60)}, "folder")
    apart = load_split(path, "val", 8, seed=3).names
    assert apart != load_split(path, "val", 8).names
    with open_split(path, "val", 8, seed=3) as source:
        assert (source.names, source.seed) == (apart, 3)
    with open_split(path, "train", 8, seed=3) as source:
        assert source.seed == 3
    with open_split(path, seed=3) as source:
        assert (source.split, source.seed) == ("all", None)


def test_no_seed_chose_what_folders_say(tmp_path):
    files = {f"{split}/{i}.png": flat(i) for split in ("train", "val") for i in range(4)}
    path = store(tmp_path, files, "folder")
    with open_split(path, "val", seed=3) as source:
        assert source.seed is None
    with open_split(path, "train", seed=3) as source:
        assert source.seed == 3  # some of it are the test pictures
    (path / "test").mkdir()
    (path / "test" / "0.png").write_bytes(flat(0))
    with open_split(path, "train", seed=3) as source:
        assert source.seed is None
