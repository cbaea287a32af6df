"""Traces of JPEG and WebP in decoded pixels."""

import io

import numpy as np
import pytest
from PIL import Image

from caflow_cli.assets import example_path
from caflow_cli.images.artifacts import traces
from caflow_cli.images.read import table_of

PHOTO = Image.open(example_path("cat_192")).convert("RGB")


def through(image: Image.Image, format: str, **options) -> tuple[np.ndarray, float]:
    """The pixels of a file, and the mean of its luminance table."""
    file = io.BytesIO()
    image.save(file, format, **options)
    opened = Image.open(file)
    return np.asarray(opened.convert("RGB")), table_of(opened)


@pytest.mark.parametrize("side", [100, 190, 380])  # 380: of four patches
@pytest.mark.parametrize("quality", [60, 80, 89])
@pytest.mark.parametrize("subsampling", [0, 2])
def test_the_luminance_table_is_found_in_pixels(side, quality, subsampling):
    image = PHOTO.resize((side, side), Image.Resampling.BOX)
    pixels, table = through(image, "JPEG", quality=quality, subsampling=subsampling)
    for seen in (pixels, pixels[3:, 5:]):
        assert traces(seen).table == pytest.approx(table, rel=0.15)
    finer, _ = through(image, "JPEG", quality=93, subsampling=subsampling)
    assert traces(finer).table < 11.5
    assert traces(np.asarray(image)).table == 0


def test_the_levels_of_webp_are_found_in_pixels():
    for quality in (50, 75, 90):
        pixels, _ = through(PHOTO, "WEBP", quality=quality)
        assert traces(pixels).limited > 0.3
    for pixels in (np.asarray(PHOTO), through(PHOTO, "JPEG", quality=75)[0]):
        assert abs(traces(pixels).limited) < 0.05


@pytest.mark.parametrize("size", [(1, 1), (3, 90), (24, 24)])
@pytest.mark.parametrize("value", [0, 77, 255])
def test_flat_and_tiny_images_have_no_table_and_no_levels(size, value):
    found = traces(np.full((*size, 3), value, np.uint8))
    assert found.table == 0
    assert abs(found.limited) < 0.05
    assert np.isfinite(found.statistics).all()
