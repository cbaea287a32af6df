"""The commands on files of 16 bits per channel and with color profiles."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from PIL import Image

from caflow_cli.images import decode

from ..image_files import encoded
from .process import caflow
from .results import only_record

tifffile = pytest.importorskip("tifffile")
imagecodecs = pytest.importorskip("imagecodecs")

ADOBE = imagecodecs.cms_profile("adobergb")
RNG = np.random.default_rng(4)
DEEP = (
    np.add.outer(np.arange(24) * 900, np.arange(20) * 700)[..., None] + [9000, 12000, 15000]
).astype(np.uint16)
DEEP += RNG.integers(0, 900, DEEP.shape, dtype=np.uint16)


@pytest.fixture
def scan(tmp_path):
    options = {"photometric": "rgb", "iccprofile": ADOBE, "metadata": None}
    tifffile.imwrite(
        tmp_path / "scan.tif", DEEP, compression="lzw", description="roll 7", **options
    )
    mask = np.zeros(DEEP.shape[:2], np.uint16)
    mask[6:12, 5:11] = 65535
    tifffile.imwrite(tmp_path / "mask.tif", mask, photometric="minisblack", metadata=None)
    return mask > 0


@pytest.mark.parametrize("output", ["out.tif", "out.png"])
def test_known_pixels_profile_and_score_of_a_scan(run, tmp_path, model_files, scan, output):
    given = ["--mask", "mask.tif", "--model", model_files["inpaint"]]
    done = run("inpaint", "scan.tif", *given, "-m", 2, "-o", output, "--json")
    line = only_record(done)
    assert line["depth"] == 16
    found = decode(tmp_path / output, full=True)
    assert (found.depth, found.profile) == (16, ADOBE)
    np.testing.assert_array_equal(found.rgb[~scan], DEEP[~scan])
    scored = only_record(run("score", "--cond", "scan.tif", "--target", output, *given, "--json"))
    assert scored["log_likelihood"] == line["outputs"][0]["log_likelihood"]
    assert (scored["depth"], scored["score_exact"]) == (16, True)
    rule = "log P(stored) = log p - log 256 x unknown values"
    assert rule in scored["estimator"]["bound"]
    assert rule in line["estimator"]["bound"]
    said = run("score", "--cond", "scan.tif", "--target", output, *given).stderr.decode()
    assert "16 bits per channel: values that the input determines" in said
    assert f"{rule}, here {scored['unknown_values']}" in said
    if output == "out.tif":
        assert (found.tiff.description, found.tiff.compression) == (b"roll 7", 5)


def test_an_8_bit_format_rounds_with_a_note_and_is_not_exact(run, tmp_path, model_files, scan):
    given = ["--model", model_files["superres"], "-m", 1, "--json"]
    done = run("superres", "scan.tif", "-o", "out.webp", *given)
    assert b"webp holds 8 bits per channel" in done.stderr
    assert only_record(done)["outputs"][0]["score_exact"] is False
    with Image.open(tmp_path / "out.webp") as stored:
        assert stored.info["icc_profile"] == ADOBE


def test_a_batch_of_both_depths(run, tmp_path, model_files, scan):
    Image.fromarray((DEEP >> 8).astype(np.uint8)).save(tmp_path / "a.png")
    given = ["--model", model_files["superres"], "-m", 1, "-o", "out/", "--grid", "sheet.png"]
    assert run("superres", "a.png", "scan.tif", *given).returncode == 0
    assert decode(tmp_path / "out" / "a_superres.png", full=True).depth == 8
    assert decode(tmp_path / "out" / "scan_superres.png", full=True).depth == 16


def test_without_the_extra_8_bits_are_read_with_a_hint(
    run, tmp_path, model_files, scan, monkeypatch
):
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    done = run("superres", "scan.tif", "--model", model_files["superres"], "-m", 1, "-o", "o.png")
    assert b"its 16 bits per channel are read as 8; pip install" in done.stderr
    assert decode(tmp_path / "o.png").depth == 8


def test_a_converted_profile_is_said(run, tmp_path, model_files):
    from ..image_files import linear_profile

    image = Image.fromarray((DEEP >> 8).astype(np.uint8))
    image.save(tmp_path / "x.png", icc_profile=linear_profile())
    done = run("superres", "x.png", "--model", model_files["superres"], "-m", 1)
    assert b"its colors are converted to sRGB" in done.stderr


def test_codecs_add_no_lines_of_their_own_on_damaged_files(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    bits = Image.fromarray(noise).convert("1")
    files = {
        "fax": encoded(bits, "TIFF", compression="group4"),
        "jpeg": encoded(noise, "TIFF", compression="jpeg"),
        "palette": encoded(Image.fromarray(noise).convert("P"), "TIFF", compression="tiff_lzw"),
        "png": bytes(imagecodecs.png_encode(noise.astype(np.uint16))),
    }
    tifffile.imwrite(tmp_path / "deep.tif", noise.astype(np.uint16), compression="zlib")
    files["deep"] = (tmp_path / "deep.tif").read_bytes()
    for name, data in files.items():
        middle = len(data) // 2
        broken = data[:middle] + bytes(20) + data[middle + 20 :]
        (tmp_path / f"{name}.tif").write_bytes(broken)
    result = caflow("superres", ".", "--dry-run", cwd=tmp_path)
    assert result.returncode == 1
    kinds = [line.split(":")[0] for line in result.stderr.decode().splitlines()]
    assert kinds.count("error") == kinds.count("hint") == 3
    assert {*kinds} == {"error", "hint", "fax.tif", "jpeg.tif"}  # whose damage libtiff passes over
