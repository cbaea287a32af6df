"""Paired sets, and sets that are mapped from a file."""

from __future__ import annotations

import os
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from caflow_cli.data import Store, condition_channels, count_pictures, load_pairs, load_split
from caflow_cli.errors import CaflowError
from caflow_cli.images import encode_png


def flat(value: int, height: int = 8, width: int = 8) -> bytes:
    return encode_png(np.full((height, width, 3), value, np.uint8))


def archive(where: Path, files: dict[str, bytes]) -> Path:
    path = where / "pairs.zip"
    with zipfile.ZipFile(path, "w") as target:
        for name, data in files.items():
            target.writestr(name, data)
    return path


def pairs(split: str, count: int, first: int = 0) -> dict[str, bytes]:
    names = range(first, first + count)
    return {f"{split}A/{i:03}.png": flat(i) for i in names} | {
        f"{split}B/{i:03}.png": flat(100 + i) for i in names
    }


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


def test_a_limit_takes_an_even_sample(tmp_path):
    path = archive(tmp_path, pairs("train/", 100) | pairs("val/", 1) | pairs("test/", 1))
    assert load_pairs(path, "train", 8, limit=4).names == ["000", "025", "050", "075"]


def test_a_large_set_is_decoded_once_and_mapped(tmp_path, monkeypatch):
    files = pairs("train/", 110) | pairs("val/", 1) | pairs("test/", 1)
    files["train/B/007.png"] = b"no picture"
    path = archive(tmp_path, files)
    memory = load_pairs(path, "train", 8)
    store = Store(tmp_path / "cache", limit=1000)
    mapped = load_pairs(path, "train", 8, store=store)
    for name in ("names", "skipped"):
        assert getattr(mapped, name) == getattr(memory, name)
    assert torch.equal(mapped.targets, memory.targets)
    assert torch.equal(mapped.conditions, memory.conditions)
    assert len(list(store.folder.iterdir())) == 2
    # Small sets stay in memory.
    load_pairs(path, "val", 8, store=store)
    assert len(list(store.folder.iterdir())) == 2
    # Once: the second time nothing is decoded.
    with monkeypatch.context() as patched:
        patched.setattr("caflow_cli.data.sets._decode", lambda *_: pytest.fail("decoded again"))
        again = load_pairs(path, "train", 8, store=store)
    assert torch.equal(again.targets, memory.targets)
    # Another picture, another set.
    path = archive(tmp_path, files | {"train/A/000.png": flat(50)})
    changed = load_pairs(path, "train", 8, store=store)
    assert int(changed.conditions[0, 0, 0, 0]) == 50
    assert int(mapped.conditions[0, 0, 0, 0]) == 0


def test_a_file_that_does_not_fit_is_one_error(tmp_path):
    (tmp_path / "cache").write_text("a file where the folder should be")
    path = archive(tmp_path, pairs("train/", 5))
    with pytest.raises(CaflowError, match="GiB of decoded pictures") as caught:
        load_pairs(path, "train", 8, store=Store(tmp_path / "cache"))
    assert "data_memory_gb" in caught.value.hint


def test_a_set_whose_index_was_not_written_whole_is_made_again(tmp_path, monkeypatch):
    path = archive(tmp_path, pairs("train/", 5))
    store = Store(tmp_path / "cache")
    with monkeypatch.context() as patched:

        def fail(*_: object) -> None:
            raise OSError(28, "No space left on device")

        patched.setattr("os.fsync", fail)
        with pytest.raises(CaflowError, match="No space left on device"):
            load_pairs(path, "train", 8, store=store)
    assert [p.suffix for p in store.folder.iterdir()] == [".u8"]
    again = load_pairs(path, "train", 8, store=store)
    assert again.names == load_pairs(path, "train", 8).names


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_a_set_is_kept_in_a_folder_whose_name_is_not_utf8(tmp_path):
    path = archive(tmp_path, pairs("train/", 5))
    mapped = load_pairs(path, "train", 8, store=Store(tmp_path / os.fsdecode(b"\xe9")))
    assert torch.equal(mapped.targets, load_pairs(path, "train", 8).targets)
