"""Where the infrared channel of a scan is read from."""

from __future__ import annotations

import numpy as np
import pytest

import caflow_cli as caflow
from caflow_cli.damage.infrared import read_infrared
from caflow_cli.images import Encoder, decode
from caflow_cli.images.deep import turned

tifffile = pytest.importorskip("tifffile")
COLORS = np.random.default_rng(1).integers(0, 65536, (20, 30, 3), np.uint16)
PLANE = COLORS[..., 0] // 2


def read(path):
    return read_infrared(decode(path, infrared=True).image, path, path.name)


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


def paged(path, first: int = 1, second: int | None = None, **page) -> None:
    """A scan of colors and a page of infrared, each stored so that its orientation turns it."""
    with tifffile.TiffWriter(path) as file:
        for values, kind, orientation in ((COLORS, "rgb", first), (PLANE, "minisblack", second)):
            stored = turned(values, {6: 8, 8: 6}.get(first, first))
            tag = [] if orientation is None else [(274, 3, 1, orientation, True)]
            file.write(stored, photometric=kind, extratags=tag, metadata=None, **page)


@pytest.mark.parametrize("first", range(1, 9))
def test_a_second_page_is_turned_as_the_first_unless_it_says_otherwise(tmp_path, first):
    for second in (None, first):
        paged(tmp_path / "a.tif", first, second)
        assert np.array_equal(decode(tmp_path / "a.tif").image.values, COLORS)
        assert np.array_equal(read(tmp_path / "a.tif"), PLANE)


@pytest.mark.parametrize("compression", [None, "lzw", "zlib"])
def test_infrared_on_a_second_page_is_kept_as_it_came(tmp_path, compression):
    """On a page of its own; infrared of 8 bits, too, beside colors of 16."""
    path = tmp_path / "a.tif"
    paged(path, compression=compression)
    source = decode(path, infrared=True)
    result = source.image.values[::-1]
    written = tmp_path / "b.tif"
    written.write_bytes(Encoder("tiff").encode(source.output(result), "{}"))
    with tifffile.TiffFile(written) as file, tifffile.TiffFile(path) as given:
        first, second = file.pages
        assert second.compression == first.compression == given.pages.first.compression
        assert np.array_equal(first.asarray(), result)
        assert np.array_equal(second.asarray(), PLANE)
    assert (source.frames, decode(path).frames) == (1, 2)
    larger = source.output(np.repeat(np.repeat(result, 2, 0), 2, 1))
    assert larger.image.infrared.shape == larger.image.values.shape[:2]
    for name in ("png", "jpg"):
        assert any("beside its colors is not kept" in loss for loss in Encoder(name).losses(source))
    assert Encoder("tiff").losses(source) == []


def test_two_infrared_channels_are_ambiguous(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.dstack([COLORS, PLANE]), photometric="rgb", extrasamples=(0,))
    tifffile.imwrite(tmp_path / "a_IR.tif", PLANE, photometric="minisblack")
    with pytest.raises(caflow.CaflowError, match=r"in the scan itself and '.*a_IR.tif'") as error:
        read(path)
    assert error.value.exit_code == 1
    with tifffile.TiffWriter(path) as file:
        file.write(np.dstack([COLORS, PLANE]), photometric="rgb", extrasamples=(0,))
        file.write(PLANE, photometric="minisblack")
    with pytest.raises(caflow.CaflowError, match="in its last channel and its second page"):
        read(path)
