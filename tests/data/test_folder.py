"""Zips: nothing leads out of them, and they unpack in bounded memory."""

import struct
import tracemalloc
import zipfile

import pytest

from caflow_cli.images import MAX_BYTES

from .stored import flat, load, names, refusal, store

BOMB = 10**8  # bytes of zeros


@pytest.mark.parametrize("member", ["../out.png", "/out.png", "a\\..\\..\\out.png", "C:/out.png"])
def test_members_that_lead_out_of_a_zip_are_refused(tmp_path, member):
    """Evaluation writes images under the names of what it measured."""
    path = store(tmp_path, {f"{i}.png": flat(i) for i in range(3)} | {member: flat(9)})
    if member.startswith(".."):  # hidden, as every name that begins with a dot
        assert len(names(path)) == 1
    else:
        error = refusal(path)
        assert "leads out of it" in error.message
        assert error.exit_code == 2
    assert [path.name for path in tmp_path.iterdir()] == ["data.zip"]


def test_a_member_without_a_name_is_no_image(tmp_path):
    path = store(tmp_path, {f"{i}.png": flat(i) for i in range(3)})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(zipfile.ZipInfo(""), b"?")
    assert len(names(path)) == 1  # of three, by the split


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


@pytest.mark.parametrize(("at", "value"), [(8, 1), (10, 12), (10, 99)])  # encrypted; bzip2; unknown
def test_members_that_are_encrypted_or_compressed_in_a_rare_way_are_refused(tmp_path, at, value):
    path = store(tmp_path, {f"{k}.png": flat(k) for k in range(4)})
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\1\2") + at] = value
    path.write_bytes(data)
    error = refusal(path)
    assert "encrypted, or not compressed by deflate" in error.message
    assert error.exit_code == 2


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_damaged_member_is_skipped(tmp_path, method):
    path = tmp_path / "data.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        for k in range(120):
            archive.writestr(f"train/{k:03}.png", flat(k))
        archive.writestr("val/a.png", flat(1))
        archive.writestr("test/a.png", flat(1))
        offset = archive.getinfo("train/007.png").header_offset
    data = bytearray(path.read_bytes())
    start = offset + 30 + len("train/007.png")
    data[start : start + 8] = b"\xff" * 8
    path.write_bytes(data)
    examples, images = load(path)
    assert examples.skipped == ["007.png"]
    assert [int(image[0, 0, 0]) for [image] in images] == [k for k in range(120) if k != 7]


@pytest.mark.parametrize("stated", [MAX_BYTES + 1, 5000])
def test_a_bomb_in_a_zip_is_not_unpacked_whole(tmp_path, stated):
    path = tmp_path / "data.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for split in ("train", "val", "test"):
            archive.writestr(f"{split}/0.png", flat(1))
        archive.writestr("train/bomb.png", bytes(BOMB))
    old, new = (struct.pack("<I", size) for size in (BOMB, stated))  # in both directories
    path.write_bytes(path.read_bytes().replace(old, new))
    tracemalloc.start()
    try:
        assert "'train/bomb.png'" in refusal(path).message
        assert tracemalloc.get_traced_memory()[1] < BOMB / 4
    finally:
        tracemalloc.stop()
