"""Zips: nothing leads out of them, and they unpack in bounded memory."""

from __future__ import annotations

import functools
import io
import struct
import tracemalloc
import zipfile

import pytest

from caflow_cli.errors import CaflowError

from .stored import flat, load, names, refusal, store

METHODS = {
    "stored": zipfile.ZIP_STORED,
    "deflate": zipfile.ZIP_DEFLATED,
    "bzip2": zipfile.ZIP_BZIP2,
    "lzma": zipfile.ZIP_LZMA,
}
BOMB = 10**8  # bytes of zeros


@pytest.mark.parametrize("member", ["../out.png", "/out.png", "a\\..\\..\\out.png", "C:/out.png"])
def test_members_that_lead_out_of_a_zip_are_refused(tmp_path, member):
    """Evaluation writes images under the names of what it measured."""
    path = store(tmp_path, {f"{i}.png": flat(i) for i in range(3)} | {member: flat(9)})
    if member.startswith(".."):  # hidden, as every name that begins with a dot
        assert len(names(path)) == 1
    else:
        with pytest.raises(CaflowError, match="leads out of it") as caught:
            load(path)
        assert caught.value.exit_code == 2
    assert [path.name for path in tmp_path.iterdir()] == ["data.zip"]


@pytest.mark.parametrize(("at", "value"), [(6, 0xFF), (8, 0xFF)])  # version needed; flags: UTF-8
def test_a_broken_directory_of_a_zip_is_no_readable_zip(tmp_path, at, value):
    path = store(tmp_path, {"\xe9.png": flat(1), "b.png": flat(2)})
    data = bytearray(path.read_bytes())
    entry = data.index(b"PK\1\2")
    data[entry + at] = value
    if at == 8:
        data[entry + 46] = 0xFF
        data[entry + at] = 0
        data[entry + at + 1] = 0x08
    path.write_bytes(data)
    assert "neither a folder nor a readable zip" in refusal(path).message


@pytest.mark.parametrize("method", METHODS)
def test_every_kind_of_zip_is_read_and_a_damaged_member_skipped(tmp_path, method):
    path = tmp_path / "data.zip"
    with zipfile.ZipFile(path, "w", METHODS[method]) as archive:
        for k in range(120):
            archive.writestr(f"train/{k:03}.png", flat(k))
        archive.writestr("val/a.png", flat(1))
        archive.writestr("test/a.png", flat(1))
        offset = archive.getinfo("train/007.png").header_offset
    data = bytearray(path.read_bytes())
    start = offset + 30 + len("train/007.png")
    data[start + 9 : start + 17] = b"\xff" * 8  # behind LZMA's own header
    path.write_bytes(data)
    examples, images = load(path)
    assert examples.skipped == ["007.png"]
    assert [int(image[0, 0, 0]) for [image] in images] == [k for k in range(120) if k != 7]


def test_a_member_compressed_in_an_unknown_way_is_damaged(tmp_path):
    path = store(tmp_path, {f"{k}.png": flat(k) for k in range(4)})
    data = path.read_bytes()
    for mark, at in ((b"PK\1\2", 10), (b"PK\3\4", 8)):
        parts = data.split(mark)
        data = mark.join([parts[0], *(p[: at - 4] + b"\x63\0" + p[at - 2 :] for p in parts[1:])])
    path.write_bytes(data)
    assert "damaged" in refusal(path).message


@functools.cache
def zip_with_a_bomb(method: str) -> bytes:
    """A zip of few images and a bomb, whose size its directory states."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", METHODS[method]) as archive:
        for split in ("train", "val", "test"):
            archive.writestr(f"{split}/0.png", flat(1))
        archive.writestr("train/bomb.png", bytes(BOMB))
    return stream.getvalue()


@pytest.mark.parametrize("stated", [None, 5000])
@pytest.mark.parametrize("method", ["deflate", "bzip2", "lzma"])
def test_a_bomb_in_a_zip_is_not_unpacked_whole(tmp_path, monkeypatch, method, stated):
    path = tmp_path / "data.zip"
    size = struct.pack("<I", BOMB if stated is None else stated)  # in both directories
    path.write_bytes(zip_with_a_bomb(method).replace(struct.pack("<I", BOMB), size))
    for module in ("caflow_cli.images.read", "caflow_cli.data.folder"):
        monkeypatch.setattr(f"{module}.MAX_BYTES", 10_000)
    tracemalloc.start()
    try:
        assert "'bomb.png'" in refusal(path).message
        assert tracemalloc.get_traced_memory()[1] < BOMB
    finally:
        tracemalloc.stop()
