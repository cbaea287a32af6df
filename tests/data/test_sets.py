from __future__ import annotations

import io
import os
import struct
import time
import tracemalloc
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from caflow_cli.data import load_split
from caflow_cli.errors import CaflowError
from caflow_cli.images import encode_png


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def flat(value: int, side: int = 8) -> bytes:
    return encode_png(np.full((side, side, 3), value, np.uint8))


def store(where: Path, files: dict[str, bytes], kind: str) -> Path:
    """The files as a folder or as a zip."""
    if kind == "folder":
        root = where / "data"
        root.mkdir()
        for name, data in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(data)
        return root
    path = where / "data.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def refusal(*args, **options) -> CaflowError:
    with pytest.raises(CaflowError) as caught:
        load_split(*args, **options)
    assert caught.value.hint
    assert "\n" not in caught.value.message + caught.value.hint
    return caught.value


kinds = pytest.mark.parametrize("kind", ["folder", "zip"])


@kinds
def test_split_folders_are_used_as_they_stand(tmp_path, kind):
    files = {f"train/{i}.png": flat(i) for i in range(5)}
    files |= {"val/sub/a.PNG": flat(100), "test/b.png": flat(200), "test/a.png": flat(201)}
    path = store(tmp_path, files | {"loose.png": flat(9), "train/notes.txt": b"text"}, kind)
    train = load_split(path, "train", 8)
    assert train.images.dtype == torch.uint8
    assert train.images.shape == (5, 3, 8, 8)
    assert train.images.is_contiguous()
    assert train.names == [f"{i}.png" for i in range(5)]
    assert train.skipped == []
    assert train.images[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4]
    val, test = load_split(str(path), "val", 8), load_split(path, "test", 8)
    assert (val.names, val.images[:, 2, 7, 7].tolist()) == (["sub/a.PNG"], [100])
    assert (test.names, test.images[:, 0, 0, 0].tolist()) == (["a.png", "b.png"], [201, 200])


@kinds
def test_pixels_and_their_order(tmp_path, kind):
    pixels = picture(8, 8)
    path = store(
        tmp_path,
        {"train/a.png": encode_png(pixels), "val/b.png": flat(0), "test/b.png": flat(0)},
        kind,
    )
    images = load_split(path, "train", 8).images
    np.testing.assert_array_equal(images[0].permute(1, 2, 0).numpy(), pixels)


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


def one(tmp_path: Path, image: np.ndarray, size: int, **options) -> np.ndarray:
    files = {"train/a.png": encode_png(image), "val/b.png": flat(0), "test/b.png": flat(0)}
    split = load_split(store(tmp_path, files, "zip"), "train", size, **options)
    return split.images[0].permute(1, 2, 0).numpy()


@pytest.mark.parametrize(
    ("height", "width", "box"),
    [(20, 32, (6, 0, 26, 20)), (33, 20, (0, 6, 20, 26)), (24, 24, (0, 0, 24, 24))],
)
def test_other_shapes_are_cropped_and_shrunk(tmp_path, height, width, box):
    image = picture(height, width)
    crop = Image.fromarray(image).crop(box).resize((8, 8), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(one(tmp_path, image, 8), np.asarray(crop))


def test_a_crop_of_the_right_size_is_not_resampled(tmp_path):
    image = picture(8, 12)
    np.testing.assert_array_equal(one(tmp_path, image, 8), image[:, 2:10])


def test_grey(tmp_path):
    image = picture(8, 8)
    grey = one(tmp_path, image, 8, channels=1)
    assert grey.shape == (8, 8, 1)
    np.testing.assert_array_equal(grey[:, :, 0], np.asarray(Image.fromarray(image).convert("L")))


def test_other_formats(tmp_path):
    image = picture(8, 8)
    files = {"test/x.png": flat(0), "val/x.png": flat(0)}
    for suffix, options in {"webp": {"lossless": True}, "bmp": {}, "tiff": {}}.items():
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, suffix, **options)
        files[f"train/a.{suffix}"] = buffer.getvalue()
    images = load_split(store(tmp_path, files, "zip"), "train", 8).images
    assert images.shape == (3, 3, 8, 8)
    for loaded in images:
        np.testing.assert_array_equal(loaded.permute(1, 2, 0).numpy(), image)


@kinds
def test_too_small_pictures_are_named(tmp_path, kind):
    files = {f"train/{i}.png": flat(i, 16) for i in range(4)}
    files |= {"train/low.png": encode_png(picture(8, 20)), "val/a.png": flat(0, 16)}
    error = refusal(store(tmp_path, files, kind), "train", 16)
    assert "low.png" in error.message
    assert "20x8" in error.message
    assert "16x16" in error.message
    assert error.exit_code == 1


@kinds
def test_few_damaged_pictures_are_skipped(tmp_path, kind):
    files = {f"train/{i:03}.png": flat(i) for i in range(99)}
    files |= {"train/050x.png": flat(3)[:40], "val/a.png": flat(1), "test/a.png": flat(1)}
    loaded = load_split(store(tmp_path, files, kind), "train", 8)
    assert loaded.skipped == ["050x.png"]
    assert loaded.names == [f"{i:03}.png" for i in range(99)]
    assert loaded.images[:, 0, 0, 0].tolist() == list(range(99))


@kinds
def test_many_damaged_pictures_are_an_error(tmp_path, kind):
    files = {f"train/{i:03}.png": flat(i) for i in range(98)}
    files |= {"train/x.png": b"", "train/y.png": b"no picture", "val/a.png": flat(1)}
    error = refusal(store(tmp_path, files | {"test/a.png": flat(1)}, kind), "train", 8)
    assert "2 of 100" in error.message
    assert "x.png" in error.message
    assert "1 %" in error.hint
    assert error.exit_code == 1


def test_one_percent_is_of_all_pictures_not_of_a_small_split(tmp_path):
    files = {f"train/{i:03}.png": flat(i) for i in range(150)}
    files |= {"val/a.png": flat(1), "val/b.png": b"no picture", "test/a.png": flat(1)}
    path = store(tmp_path, files | {"test/b.png": flat(1)}, "folder")
    assert load_split(path, "val", 8).skipped == ["b.png"]
    (path / "val" / "a.png").unlink()
    assert "1 of 1" in refusal(path, "val", 8).message  # nothing is left


def test_a_damaged_member_of_a_zip_is_skipped(tmp_path):
    files = {f"train/{i:03}.png": flat(i) for i in range(120)}
    path = store(tmp_path, files | {"val/a.png": flat(1), "test/a.png": flat(1)}, "zip")
    data = bytearray(path.read_bytes())
    data[data.index(b"IHDR") + 20] ^= 0xFF  # of the first member, whose checksum now fails
    path.write_bytes(data)
    loaded = load_split(path, "train", 8)
    assert loaded.skipped == ["000.png"]
    assert len(loaded.images) == 119


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_whatever_the_compression_a_damaged_member_is_skipped(tmp_path, method):
    path = tmp_path / "data.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        for k in range(120):
            archive.writestr(f"train/{k:03}.png", flat(k))
        archive.writestr("val/a.png", flat(1))
        archive.writestr("test/a.png", flat(1))
        offset = archive.getinfo("train/007.png").header_offset
    data = bytearray(path.read_bytes())
    start = offset + 30 + len("train/007.png")
    data[start + 9 : start + 17] = b"\xff" * 8  # behind what LZMA says of itself
    path.write_bytes(data)
    assert load_split(path, "train", 8).skipped == ["007.png"]


def test_a_member_compressed_in_an_unknown_way_is_damaged(tmp_path):
    path = store(tmp_path, {f"{k}.png": flat(k) for k in range(4)}, "zip")
    data = path.read_bytes()
    for mark, at in ((b"PK\1\2", 10), (b"PK\3\4", 8)):
        parts = data.split(mark)
        data = mark.join([parts[0], *(p[: at - 4] + b"\x63\0" + p[at - 2 :] for p in parts[1:])])
    path.write_bytes(data)
    assert "damaged" in refusal(path, "train", 8).message


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


METHODS = {
    "stored": zipfile.ZIP_STORED,
    "deflate": zipfile.ZIP_DEFLATED,
    "bzip2": zipfile.ZIP_BZIP2,
    "lzma": zipfile.ZIP_LZMA,
}


def zip_with_a_bomb(path: Path, method: str, says: int | None) -> None:
    """Among few pictures 100 MB of zeros, whose size the directory may not say."""
    with zipfile.ZipFile(path, "w", METHODS[method]) as archive:
        for split in ("train", "val", "test"):
            archive.writestr(f"{split}/0.png", flat(1))
        with archive.open("train/bomb.png", "w") as file:
            for _ in range(100):
                file.write(bytes(1_000_000))
    if says is not None:
        data = path.read_bytes()
        path.write_bytes(data.replace(struct.pack("<I", 10**8), struct.pack("<I", says)))


@pytest.mark.parametrize("says", [None, 5000])
@pytest.mark.parametrize("method", ["deflate", "bzip2", "lzma"])
def test_a_bomb_in_a_zip_is_not_unpacked_whole(tmp_path, monkeypatch, method, says):
    path = tmp_path / "data.zip"
    zip_with_a_bomb(path, method, says)
    for module in ("caflow_cli.images.source", "caflow_cli.data.member"):
        monkeypatch.setattr(f"{module}.MAX_BYTES", 10_000)
    tracemalloc.start()
    try:
        assert "'bomb.png'" in refusal(path, "train", 8).message
        assert tracemalloc.get_traced_memory()[1] < 100_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("method", METHODS)
def test_every_kind_of_zip_is_read(tmp_path, method):
    path = tmp_path / "data.zip"
    with zipfile.ZipFile(path, "w", METHODS[method]) as archive:
        for k in range(5):
            archive.writestr(f"{k}.png", flat(k, 60))
    assert len(load_split(path, "train", 60).names) == 3


@kinds
def test_large_files_are_read_one_at_a_time(tmp_path, monkeypatch, kind):
    monkeypatch.setattr("caflow_cli.data.sets._LARGE", 150)
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    inside = {"small": 0, "large": 0}
    most = dict(inside)

    def watch(source, example):
        size = "large" if int(Path(example.name).stem) % 2 else "small"
        inside[size] += 1
        most[size] = max(most[size], inside[size])
        time.sleep(0.05)
        inside[size] -= 1
        return [np.zeros((32, 32, 3), np.uint8)]

    monkeypatch.setattr("caflow_cli.data.sets.read_example", watch)
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    files = {f"train/{k}.png": encode_png(noise) if k % 2 else flat(k) for k in range(12)}
    files |= {f"{part}/0.png": flat(0) for part in ("val", "test")}
    assert len(load_split(store(tmp_path, files, kind), "train", 32).names) == 12
    assert most["large"] == 1 < most["small"]


def test_of_members_of_one_name_the_last_is_read(tmp_path):
    path = tmp_path / "data.zip"
    with zipfile.ZipFile(path, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for value in (10, 20):
            for k in range(3):
                archive.writestr(f"{k}.png", flat(value))
    loaded = [load_split(path, split, 8) for split in ("train", "val", "test")]
    assert sorted(name for part in loaded for name in part.names) == ["0.png", "1.png", "2.png"]
    assert all((part.images == 20).all() for part in loaded)


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


@pytest.mark.parametrize(("split", "options"), [("valid", {}), ("train", {"channels": 2})])
def test_wrong_arguments(tmp_path, split, options):
    error = refusal(tmp_path, split, 8, **options)
    assert error.exit_code == 2
    assert "use " in error.hint


def test_faces():
    folder = os.environ.get("CAFLOW_TEST_DATA")
    archive = Path(folder or ".") / "faces64.zip"
    if not folder or not archive.is_file():
        pytest.skip("CAFLOW_TEST_DATA names no folder with faces64.zip")
    val, test = load_split(archive, "val", 64), load_split(archive, "test", 64)
    for part in (val, test):
        assert part.images.shape == (100, 3, 64, 64)
        assert part.skipped == []
        assert all(name.startswith("ffhq_") and name.endswith(".webp") for name in part.names)
    assert not set(val.names) & set(test.names)
    with zipfile.ZipFile(archive) as pictures:
        first = Image.open(io.BytesIO(pictures.read(f"val/{val.names[0]}"))).convert("RGB")
    np.testing.assert_array_equal(val.images[0].permute(1, 2, 0).numpy(), np.asarray(first))
