from __future__ import annotations

import io
import os
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from caflow_cli.data import load_split
from caflow_cli.images import encode_png

from .stored import flat, kinds, picture, refusal, store


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
