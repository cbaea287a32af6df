"""Where the infrared channel of a scan is read from."""

from __future__ import annotations

import numpy as np
import pytest

import caflow_cli as caflow
from caflow_cli.damage.infrared import read_infrared
from caflow_cli.images import decode

tifffile = pytest.importorskip("tifffile")
COLORS = np.random.default_rng(1).integers(0, 65536, (20, 30, 3), np.uint16)
PLANE = COLORS[..., 0] // 2


def read(path):
    return read_infrared(decode(path, alpha=False).image, path, path.name)


def test_infrared_is_the_last_channel_a_second_page_or_a_file_beside(tmp_path):
    channels, pages, alone = (tmp_path / f"{name}.tif" for name in ("a", "b", "c"))
    four = np.dstack([COLORS, PLANE])
    tifffile.imwrite(channels, four, photometric="rgb", extrasamples=(0,))
    with tifffile.TiffWriter(pages) as file:
        file.write(COLORS, photometric="rgb")
        file.write(PLANE, photometric="minisblack")
    tifffile.imwrite(alone, COLORS, photometric="rgb")
    tifffile.imwrite(tmp_path / "c_ir.tif", PLANE, photometric="minisblack")
    for path in (channels, pages, alone):
        assert np.array_equal(read(path), PLANE)


def test_alpha_thumbnails_and_pages_of_colors_are_no_infrared(tmp_path):
    alpha, small, colors = (tmp_path / f"{name}.tif" for name in ("a", "b", "c"))
    four = np.dstack([COLORS, PLANE])
    tifffile.imwrite(alpha, four, photometric="rgb", extrasamples=("unassalpha",))
    for path, page, kind in ((small, PLANE[::2, ::2], "minisblack"), (colors, COLORS, "rgb")):
        with tifffile.TiffWriter(path) as file:
            file.write(COLORS, photometric="rgb")
            file.write(page, photometric=kind)
    for path in (alpha, small, colors):
        with pytest.raises(caflow.CaflowError, match=rf"'{path.name}' has no infrared channel"):
            read(path)


def test_two_infrared_channels_are_ambiguous(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.dstack([COLORS, PLANE]), photometric="rgb", extrasamples=(0,))
    tifffile.imwrite(tmp_path / "a_IR.tif", PLANE, photometric="minisblack")
    with pytest.raises(caflow.CaflowError, match=r"in its last channel and '.*a_IR.tif'") as error:
        read(path)
    assert error.value.exit_code == 1
