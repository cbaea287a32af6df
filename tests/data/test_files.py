"""Which pictures a folder or a zip holds, and to which split each belongs."""

from __future__ import annotations

import zipfile

import pytest
import torch

from caflow_cli.data import load_split, open_split
from caflow_cli.data.files import choose
from caflow_cli.data.opening import open_files
from caflow_cli.errors import CaflowError

from .stored import flat, kinds, pairs, refusal, store


@kinds
def test_without_folders_the_split_is_96_2_2(tmp_path, kind):
    files = {f"{'ab'[i % 2]}/{i:03}.png": flat(i) for i in range(200)}
    path = store(tmp_path, files, kind)
    parts = {split: load_split(path, split, 8) for split in ("train", "val", "test")}
    assert {split: len(part.names) for split, part in parts.items()} == {
        "train": 192,
        "val": 4,
        "test": 4,
    }
    names = [name for part in parts.values() for name in part.names]
    assert sorted(names) == sorted(files)
    for part in parts.values():
        assert part.names == sorted(part.names)
        assert part.images[:, 0, 0, 0].tolist() == [int(n[2:5]) for n in part.names]
    assert load_split(path, "val", 8).names == parts["val"].names
    other = load_split(path, "val", 8, seed=1)
    assert len(other.names) == 4
    assert other.names != parts["val"].names


def test_a_folder_and_its_zip_split_alike(tmp_path):
    files = {f"{i}.png": flat(i) for i in range(120)}
    folder, archive = store(tmp_path, files, "folder"), store(tmp_path, files, "zip")
    for split in ("train", "val", "test"):
        a, b = load_split(folder, split, 8), load_split(archive, split, 8)
        assert a.names == b.names
        assert torch.equal(a.images, b.images)


def test_the_split_is_the_same_tomorrow(tmp_path):
    path = store(tmp_path, {f"{i:02}.png": flat(i) for i in range(60)}, "zip")
    # Written down: a model's held-out pictures may not wander into its training set.
    assert load_split(path, "val", 8).names == ["40.png"]
    assert load_split(path, "test", 8).names == ["42.png"]


@pytest.mark.parametrize("count", [2, 3, 49, 150])
def test_a_missing_val_is_a_share_of_train(tmp_path, count):
    files = {f"train/{i:03}.png": flat(i) for i in range(count)} | {"test/x.png": flat(255)}
    path = store(tmp_path, files, "zip")
    train, val = load_split(path, "train", 8), load_split(path, "val", 8)
    assert len(val.names) == max(1, count // 50)
    assert sorted(train.names + val.names) == [f"{i:03}.png" for i in range(count)]
    assert load_split(path, "test", 8).names == ["x.png"]


def test_missing_val_and_test_are_two_shares_of_train(tmp_path):
    path = store(tmp_path, {f"train/{i}.png": flat(i) for i in range(3)}, "zip")
    names = [load_split(path, split, 8).names for split in ("train", "val", "test")]
    assert sorted(name for part in names for name in part) == ["0.png", "1.png", "2.png"]
    assert [len(part) for part in names] == [1, 1, 1]


@kinds
def test_what_is_no_picture_is_left_out(tmp_path, kind):
    files = {f"{i}.png": flat(i) for i in range(3)}
    junk = [
        "__MACOSX/._0.png",
        "__MACOSX/a.png",
        ".hidden/a.png",
        ".a.png",
        "a.txt",
        "a.gif",
        "png",
    ]
    path = store(tmp_path, files | dict.fromkeys(junk, b"junk"), kind)
    if kind == "zip":
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr("folder.png/", b"")
    else:
        (path / "folder.png").mkdir()
    parts = [load_split(path, split, 8) for split in ("train", "val", "test")]
    assert sorted(name for part in parts for name in part.names) == sorted(files)
    assert [part.skipped for part in parts] == [[], [], []]


def test_zips_are_not_unpacked(tmp_path):
    path = store(tmp_path, {f"{i}.png": flat(i) for i in range(3)} | {"../out.png": flat(9)}, "zip")
    assert len(load_split(path, "train", 8).names) == 1  # the fourth would be a second one
    assert [path.name for path in tmp_path.iterdir()] == ["data.zip"]
    assert not (tmp_path.parent / "out.png").exists()


@pytest.mark.parametrize("member", ["/out.png", "a\\..\\..\\out.png", "C:/out.png"])
def test_members_that_lead_out_of_a_zip_are_refused(tmp_path, member):
    """Evaluation writes pictures under the names of what it measured."""
    path = store(tmp_path, {f"{i}.png": flat(i) for i in range(3)} | {member: flat(9)}, "zip")
    with pytest.raises(CaflowError, match="leads out of it") as caught:
        load_split(path, "train", 8)
    assert caught.value.exit_code == 2
    assert [path.name for path in tmp_path.iterdir()] == ["data.zip"]


def test_splits_within_one_outer_folder(tmp_path):
    names = ("faces/train/a.png", "faces/val/b.png", "faces/test/c.png")
    path = store(tmp_path, {name: flat(0) for name in names}, "zip")
    assert load_split(path, "val", 8).names == ["b.png"]


@pytest.mark.parametrize(("at", "value"), [(6, 0xFF), (8, 0xFF)])  # version needed; flags: UTF-8
def test_a_broken_directory_of_a_zip_is_no_readable_zip(tmp_path, at, value):
    path = store(tmp_path, {"\xe9.png": flat(1), "b.png": flat(2)}, "zip")
    data = bytearray(path.read_bytes())
    entry = data.index(b"PK\1\2")
    data[entry + at] = value
    if at == 8:
        data[entry + 46] = 0xFF
        data[entry + at] = 0
        data[entry + at + 1] = 0x08
    path.write_bytes(data)
    assert "neither a folder nor a readable zip" in refusal(path, "train", 8).message


def test_no_data(tmp_path):
    error = refusal(tmp_path / "gone", "train", 8)
    assert error.message == f"no data at '{tmp_path}/gone'"
    assert "--data" in error.hint
    (tmp_path / "a.zip").write_bytes(b"no zip")
    error = refusal(tmp_path / "a.zip", "train", 8)
    assert error.message == f"'{tmp_path}/a.zip' is neither a folder nor a readable zip"


@kinds
def test_empty_sets(tmp_path, kind):
    error = refusal(store(tmp_path, {"a.txt": b""}, kind), "train", 8)
    assert error.message.startswith("no pictures in ")
    assert ".png" in error.hint


@pytest.mark.parametrize("count", [1, 2])
def test_sets_too_small_to_split(tmp_path, count):
    path = store(tmp_path, {f"{i}.png": flat(i) for i in range(count)}, "zip")
    error = refusal(path, "train", 8)
    assert f"{count} pictures" in error.message
    assert error.hint == "give at least 3"


def test_no_train_folder(tmp_path):
    path = store(tmp_path, {"val/a.png": flat(3), "test/a.png": flat(4)}, "zip")
    assert load_split(path, "val", 8).images[0, 0, 0, 0] == 3
    error = refusal(path, "train", 8)
    assert "no train/" in error.message
    assert "train/" in error.hint


@pytest.mark.parametrize("prefix", ["", "shoes/"])
def test_all_pairs_of_a_set_are_those_of_its_splits(tmp_path, prefix):
    files = pairs("train/", 2) | pairs("val/", 1, 20)
    path = store(tmp_path, {f"{prefix}{name}": data for name, data in files.items()}, "zip")
    with open_files(path, "pairs") as opened:
        found = choose(opened, "all", 0, paired=True)
        assert [pair.name for pair in found] == ["train/000", "train/001", "val/020"]
        assert found[2].members == (f"{prefix}val/A/020.png", f"{prefix}val/B/020.png")
    with open_split(path, paired=True) as reader:  # as `evaluate` does, without a split
        assert list(reader.names) == ["train/000", "train/001", "val/020"]


def test_all_pairs_at_the_top_keep_their_names(tmp_path):
    path = store(tmp_path, pairs("", 2), "zip")
    with open_files(path, "pairs") as opened:
        assert [pair.name for pair in choose(opened, "all", 0, paired=True)] == ["000", "001"]
    both = store(tmp_path, pairs("", 1) | pairs("val/", 1) | {"val/A/x.png": flat(0)}, "zip")
    with open_files(both, "pairs") as opened, pytest.raises(CaflowError, match=r"pair: val/A/x$"):
        choose(opened, "all", 0, paired=True)
