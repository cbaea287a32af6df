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
    found = decode(tmp_path / output)
    assert (found.image.bits, found.image.profile) == (16, ADOBE)
    np.testing.assert_array_equal(found.image.values[~scan], DEEP[~scan])
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
    assert decode(tmp_path / "out" / "a_superres.png").image.bits == 8
    assert decode(tmp_path / "out" / "scan_superres.png").image.bits == 16


def test_without_the_extra_8_bits_are_read_with_a_hint(
    run, tmp_path, model_files, scan, monkeypatch
):
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    done = run("superres", "scan.tif", "--model", model_files["superres"], "-m", 1, "-o", "o.png")
    assert b"its 16 bits per channel are read as 8; pip install" in done.stderr
    assert decode(tmp_path / "o.png").image.bits == 8


def test_of_16_bits_that_are_not_kept_it_is_said_which_are(run, tmp_path, model_files):
    ink = np.zeros((8, 8, 4), np.uint16)
    tifffile.imwrite(tmp_path / "ink.tif", ink, photometric="separated")
    done = run("superres", "ink.tif", "--model", model_files["superres"], "-m", 1, "-o", "o.tif")
    assert b"read as 8; those of gray and RGB in PNG and TIFF stay" in done.stderr


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


@pytest.fixture
def linear_floats(tmp_path):
    """A TIFF of floats in linear light, its profile, and where it is filled."""
    from ..image_files import linear_profile

    profile = linear_profile()
    floats = (DEEP / np.float32(65535)).astype(np.float32) ** 2.2
    floats[3, :3] = np.array([[0.287], [0.476], [0.666]], np.float32)
    options = {"photometric": "rgb", "iccprofile": profile, "metadata": None}
    tifffile.imwrite(tmp_path / "linear.tif", floats, **options)
    hole = np.zeros(DEEP.shape[:2], np.uint8)
    hole[6:12, 5:11] = 255
    Image.fromarray(hole).save(tmp_path / "mask.png")
    return floats, profile, hole > 0


def test_linear_floats_are_filled_in_their_own_color_space(
    run, tmp_path, model_files, linear_floats
):
    floats, profile, hole = linear_floats
    given = ["--mask", "mask.png", "--model", model_files["inpaint"]]
    done = run("inpaint", "linear.tif", *given, "-m", 1, "-o", "out.tif", "--json")
    with tifffile.TiffFile(tmp_path / "out.tif") as file:
        page = file.pages.first
        values = page.asarray()
        assert page.iccprofile == profile
    np.testing.assert_array_equal(values[~hole], floats[~hole])
    assert b"converted to sRGB" not in done.stderr
    # The fill has the colors of the same run as 16 bits of sRGB, in which the model works.
    assert run("inpaint", "linear.tif", *given, "-m", 1, "-o", "out.png").returncode == 0
    seen = decode(tmp_path / "out.png").image.values[hole] / 65535
    linear = np.where(seen <= 0.04045, seen / 12.92, ((seen + 0.055) / 1.055) ** 2.4)
    np.testing.assert_allclose(values[hole], linear, atol=2e-4)
    scored = run("score", "--cond", "linear.tif", "--target", "out.tif", *given, "--json")
    line = only_record(done)
    assert only_record(scored)["log_likelihood"] == line["outputs"][0]["log_likelihood"]


def test_floats_that_cannot_return_to_their_profile_are_refused_before_drawing(
    run, tmp_path, model_files, linear_floats
):
    floats, _, _ = linear_floats
    primaries = [0.5, 0.33, 1, 0.3, 0.5, 1, 0.2, 0.15, 1]  # within those of sRGB
    white = [0.3127, 0.329, 1]
    narrow = imagecodecs.cms_profile("rgb", gamma=1, primaries=primaries, whitepoint=white)
    options = {"photometric": "rgb", "iccprofile": narrow, "metadata": None}
    tifffile.imwrite(tmp_path / "linear.tif", floats, **options)
    given = ["--mask", "mask.png", "--model", model_files["inpaint"]]
    done = run("inpaint", "linear.tif", *given)
    assert done.returncode == 1
    assert b"cannot be converted back" in done.stderr
