"""Paired sets: conditions in A, targets in B."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from caflow_cli.data import condition_channels, count_pictures, load_pairs, load_split
from caflow_cli.errors import CaflowError
from caflow_cli.images import encode_png

from .stored import archive, flat, pairs


def test_pairs_match_by_stem_and_keep_together(tmp_path):
    jpeg = tmp_path / "x.bmp"
    Image.fromarray(np.full((8, 8, 3), 77, np.uint8)).save(jpeg)
    files = pairs("train/", 3) | {
        "train/A/sub/x.png": flat(9),
        "train/B/sub/x.bmp": jpeg.read_bytes(),
    }
    path = archive(tmp_path, files | pairs("val/", 1, 20) | pairs("test/", 2, 30))
    train = load_pairs(path, "train", 8)
    assert train.names == ["000", "001", "002", "sub/x"]
    assert train.conditions.shape == train.targets.shape == (4, 3, 8, 8)
    assert train.conditions[:, 0, 0, 0].tolist() == [0, 1, 2, 9]
    assert train.targets[:, 0, 0, 0].tolist() == [100, 101, 102, 77]
    assert load_pairs(path, "val", 8, cond_channels=1).conditions.shape == (1, 1, 8, 8)
    assert count_pictures(path, paired=True) == {"train": 4, "val": 1, "test": 2}
    folder = tmp_path / "folder"
    with zipfile.ZipFile(path) as source:
        source.extractall(folder)
    assert torch.equal(load_pairs(folder, "train", 8).targets, train.targets)


@pytest.mark.parametrize("prefix", ["", "train/", "shoes/", "shoes/train/"])
def test_pairs_without_splits_are_divided_as_pictures_are(tmp_path, prefix):
    path = archive(tmp_path, pairs(prefix, 60))
    assert count_pictures(path, paired=True) == {"train": 58, "val": 1, "test": 1}
    val = load_pairs(path, "val", 8)
    assert int(val.targets[0, 0, 0, 0]) - int(val.conditions[0, 0, 0, 0]) == 100
    assert val.names[0] not in load_pairs(path, "train", 8).names


def test_pictures_without_their_pair_are_refused_by_name(tmp_path):
    files = pairs("train/", 3) | {"train/A/lone.png": flat(0), "train/B/other.png": flat(0)}
    with pytest.raises(CaflowError, match=r"train/A/lone, train/B/other$"):
        load_pairs(archive(tmp_path, files), "train", 8)
    with pytest.raises(CaflowError, match="two pictures train/A/000"):
        load_pairs(archive(tmp_path, pairs("train/", 3) | {"train/A/000.bmp": b""}), "train", 8)
    with pytest.raises(CaflowError, match="no pictures in train/A/ and train/B/") as caught:
        load_pairs(archive(tmp_path, {"train/x.png": flat(0)}), "train", 8)
    assert "train/A/" in caught.value.hint
    # A set of pictures that happens to have a folder A is no paired one.
    assert len(load_split(archive(tmp_path, pairs("train/", 5)), "train", 8).names) == 8


def test_pairs_of_other_shapes_are_refused_and_of_other_sizes_cropped_alike(tmp_path):
    files = pairs("train/", 3) | {"train/A/w.png": flat(0, 8, 12), "train/B/w.png": flat(5, 16, 24)}
    assert load_pairs(archive(tmp_path, files), "train", 8).targets.shape[0] == 2  # two held out
    files["train/B/w.png"] = flat(5, 16, 16)
    with pytest.raises(CaflowError, match=r"12x8.*16x16"):
        load_pairs(archive(tmp_path, files | pairs("val/", 1) | pairs("test/", 1)), "train", 8)


def test_a_damaged_half_drops_the_pair(tmp_path):
    files = pairs("train/", 110) | pairs("val/", 1) | pairs("test/", 1)
    files["train/B/007.png"] = b"no picture"
    loaded = load_pairs(archive(tmp_path, files), "train", 8)
    assert loaded.skipped == ["007"]
    assert loaded.conditions[:, 0, 0, 0].tolist() == [i for i in range(110) if i != 7]
    assert torch.equal(loaded.targets, loaded.conditions + 100)


def test_grey_conditions_ask_for_one_channel(tmp_path):
    assert condition_channels(archive(tmp_path, pairs("train/", 3))) == 1
    colour = np.full((8, 8, 3), 7, np.uint8)
    colour[3, 3, 0] = 8
    files = pairs("train/", 3) | {"train/A/c.png": encode_png(colour), "train/B/c.png": flat(0)}
    path = archive(tmp_path, files | pairs("val/", 1) | pairs("test/", 1))
    assert condition_channels(path) == 3


def test_conditions_all_over_the_set_are_looked_at(tmp_path):
    colour = np.full((8, 8, 3), 7, np.uint8)
    colour[3, 3, 0] = 8
    files = pairs("train/", 100) | pairs("val/", 1) | pairs("test/", 1)
    late = {f"train/A/{index:03}.png": encode_png(colour) for index in range(60, 100)}
    assert condition_channels(archive(tmp_path, files | late)) == 3


def test_a_limit_takes_an_even_sample(tmp_path):
    path = archive(tmp_path, pairs("train/", 100) | pairs("val/", 1) | pairs("test/", 1))
    assert load_pairs(path, "train", 8, limit=4).names == ["000", "025", "050", "075"]
