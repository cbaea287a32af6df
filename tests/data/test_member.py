"""Members of zips: unpacked in bounded memory, whatever the directory says."""

from __future__ import annotations

import functools
import io
import struct
import tracemalloc
import warnings
import zipfile

import pytest

from caflow_cli.data import load_split

from .stored import flat, refusal, store


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


METHODS = {
    "stored": zipfile.ZIP_STORED,
    "deflate": zipfile.ZIP_DEFLATED,
    "bzip2": zipfile.ZIP_BZIP2,
    "lzma": zipfile.ZIP_LZMA,
}


BOMB = 10**8  # bytes of zeros


@functools.cache
def zip_with_a_bomb(method: str) -> bytes:
    """A zip of few pictures and a bomb, whose size its directory says."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", METHODS[method]) as archive:
        for split in ("train", "val", "test"):
            archive.writestr(f"{split}/0.png", flat(1))
        archive.writestr("train/bomb.png", bytes(BOMB))
    return stream.getvalue()


@pytest.mark.parametrize("says", [None, 5000])
@pytest.mark.parametrize("method", ["deflate", "bzip2", "lzma"])
def test_a_bomb_in_a_zip_is_not_unpacked_whole(tmp_path, monkeypatch, method, says):
    path = tmp_path / "data.zip"
    size = struct.pack("<I", BOMB if says is None else says)  # in both directories
    path.write_bytes(zip_with_a_bomb(method).replace(struct.pack("<I", BOMB), size))
    for module in ("caflow_cli.images.read", "caflow_cli.data.member"):
        monkeypatch.setattr(f"{module}.MAX_BYTES", 10_000)
    tracemalloc.start()
    try:
        assert "'bomb.png'" in refusal(path, "train", 8).message
        assert tracemalloc.get_traced_memory()[1] < BOMB
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("method", METHODS)
def test_every_kind_of_zip_is_read(tmp_path, method):
    path = tmp_path / "data.zip"
    with zipfile.ZipFile(path, "w", METHODS[method]) as archive:
        for k in range(5):
            archive.writestr(f"{k}.png", flat(k, 60))
    assert len(load_split(path, "train", 60).names) == 3


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
