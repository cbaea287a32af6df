from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from caflow_cli.errors import CaflowError
from caflow_cli.images import write_png
from caflow_cli.inference.pictures import as_mask, as_picture

PICTURE = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)


def test_a_path_a_pil_image_and_an_array_are_one_picture(tmp_path):
    write_png(tmp_path / "a.png", PICTURE)
    for given in (PICTURE, Image.fromarray(PICTURE), tmp_path / "a.png", str(tmp_path / "a.png")):
        assert np.array_equal(as_picture(given), PICTURE)


def test_pil_images_of_all_modes_are_read_like_files():
    grey = Image.fromarray(PICTURE[..., 0])
    for mode in ("L", "P", "I;16", "I", "RGBA", "LA", "CMYK", "YCbCr", "1"):
        found = as_picture(grey.convert(mode) if mode != "I;16" else Image.new("I;16", (8, 6), 7))
        assert found.shape == (6, 8, 3)
        assert found.dtype == np.uint8
    turned = Image.fromarray(PICTURE)
    turned.getexif()[0x0112] = 6
    assert as_picture(turned).shape == (8, 6, 3)


def test_masks_of_all_kinds(tmp_path):
    hole = PICTURE[..., 0] > 100
    white = np.where(hole, np.uint8(255), np.uint8(0))
    write_png(tmp_path / "m.png", np.repeat(white[..., None], 3, 2))
    for given in (hole, white, Image.fromarray(white), tmp_path / "m.png"):
        assert np.array_equal(as_mask(given), white)
    assert as_mask(None) is None


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.zeros((4, 4, 3)), "float64"),
        (np.zeros((4, 4, 4), np.uint8), "(4, 4, 4)"),
        (np.zeros(4, np.uint8), "(4,)"),
        ([[1]], "list"),
    ],
)
def test_what_is_no_picture(given, message):
    with pytest.raises(CaflowError) as caught:
        as_picture(given)
    assert message in caught.value.message
    assert "PIL" in caught.value.hint
