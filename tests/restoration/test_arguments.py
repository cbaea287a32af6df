import io

import numpy as np
import pytest
import torch
from image_files import linear_profile
from PIL import Image, ImageCms

from caflow_cli.errors import CaflowError
from caflow_cli.images import read_image, write_png
from caflow_cli.tasks.arguments import as_image, as_input, as_mask

IMAGE = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)


def test_a_path_a_pil_image_an_array_and_a_tensor_are_one_image(tmp_path):
    write_png(tmp_path / "a.png", IMAGE)
    tensor = torch.from_numpy(IMAGE).permute(2, 0, 1)
    files = tmp_path / "a.png", str(tmp_path / "a.png")
    for given in (IMAGE, Image.fromarray(IMAGE), *files, tensor):
        assert np.array_equal(as_image(given), IMAGE)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize(("low", "high"), [(0, 1), (-1, 1), (0, 255)])
def test_floats_have_a_range_that_is_stated(low, high, dtype):
    tensor = (torch.from_numpy(IMAGE).permute(2, 0, 1) / 255 * (high - low) + low).to(dtype)
    step = dtype == torch.float16  # whose last bit may be a level
    for given in (tensor, tensor.permute(1, 2, 0).numpy()):
        off = as_image(given, (low, high)).astype(int) - IMAGE
        assert abs(off).max() <= step
    for given, value_range, message in (
        (tensor, None, "without a stated range"),
        (tensor * 2 + 9, (low, high), "an array holds .* outside"),
    ):
        with pytest.raises(CaflowError, match=message):
            as_image(given, value_range)


@pytest.mark.parametrize(("value", "name"), [(np.nan, "NaN"), (-np.inf, "infinity")])
def test_what_is_no_number_is_named_with_its_place(value, name):
    given = IMAGE / np.float32(255)
    given[2, 5, 1] = value
    for few in (given, torch.from_numpy(given).permute(2, 0, 1)):
        with pytest.raises(CaflowError) as caught:
            as_image(few, (0, 1))
        said = f"an array holds a value that is no number, {name} at x 5, y 2, band 2"
        assert caught.value.message == said
        assert caught.value.hint == "replace them by numbers from 0 to 1"
    given[3, 0, 0] = value
    with pytest.raises(CaflowError, match="holds 2 values that are no numbers, the first"):
        as_image(given, (0, 1))


@pytest.mark.parametrize("bands", [2, 4])
@pytest.mark.parametrize("kind", ["array", "tensor", "floats"])
def test_a_last_channel_is_transparency_only_if_it_is_said(bands, kind):
    """It may be near infrared: bands 1 to 3 would be repainted where that is dark."""
    given = np.dstack([IMAGE, IMAGE[..., 0]])[..., -bands:]
    whole: object = given
    if kind != "array":
        whole = torch.from_numpy(given.copy()).permute(2, 0, 1)
    if kind == "floats":
        whole = whole / 255
    for alpha in (None, False):
        with pytest.raises(CaflowError, match="whose last channel may be anything") as caught:
            as_input(whole, (0, 1) if kind == "floats" else None, alpha)
        assert caught.value.hint.startswith("alpha=True if")
        assert "pass the 1 or 3 bands" in caught.value.hint
    found = as_input(whole, (0, 1) if kind == "floats" else None, True)
    levels = found.image.rounded(8)
    assert np.array_equal(levels.alpha, given[..., -1])
    colors = np.broadcast_to(given[..., :-1], IMAGE.shape)
    assert np.array_equal(levels.values, colors)
    assert found.gray == (bands == 2)


def test_masks_of_all_kinds(tmp_path):
    hole = IMAGE[..., 0] > 100
    white = np.where(hole, np.uint8(255), np.uint8(0))
    write_png(tmp_path / "m.png", np.repeat(white[..., None], 3, 2))
    one = torch.from_numpy(hole)[None]
    for given in (hole, white, one, Image.fromarray(white), tmp_path / "m.png"):
        assert np.array_equal(as_mask(given), white)
    layer = np.full((*hole.shape, 4), 255, np.uint8)
    layer[..., 3] = white
    Image.fromarray(layer).save(tmp_path / "layer.png")
    for given in (layer, tmp_path / "layer.png"):
        assert np.array_equal(as_mask(given), white)
    assert as_mask(None) is None
    with pytest.raises(CaflowError, match="a mask is an array of float32") as caught:
        as_mask(one.float())
    assert "bool" in caught.value.hint


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.zeros((4, 4, 3), np.int64), "int64"),
        (np.zeros((4, 4, 5), np.uint8), "(4, 4, 5)"),
        (np.zeros(4, np.uint8), "(4,)"),
        ([[1]], "list"),
        (np.zeros((0, 5), np.uint8), "(0, 5"),
        (Image.new("RGB", (0, 4)), "0×4 pixels"),
    ],
)
def test_what_is_no_image(given, message):
    with pytest.raises(CaflowError) as caught:
        as_image(given)
    assert message in caught.value.message
    assert "PIL" in caught.value.hint


def file_and_image(values: np.ndarray, mode: str, **kwargs) -> tuple[Image.Image, np.ndarray]:
    """An image as Pillow opens a TIFF of it, and as the commands read that file."""
    file = io.BytesIO()
    Image.fromarray(values).convert(mode).save(file, "TIFF", **kwargs)
    return Image.open(io.BytesIO(file.getvalue())), read_image(io.BytesIO(file.getvalue()), "x")


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "CMYK", "1", "P"])
def test_a_pil_image_has_the_values_of_its_file(mode):
    image, wanted = file_and_image(IMAGE, mode)
    assert image.mode == mode
    assert np.array_equal(as_image(image), wanted)


@pytest.mark.parametrize(("mode", "order"), [("I;16", "<"), ("I;16L", "<"), ("I;16B", ">")])
def test_16_bits_of_either_order_are_rescaled(mode, order):
    values = np.random.default_rng(3).integers(0, 65536, (5, 4), dtype=np.uint16)
    image = Image.frombytes(mode, (4, 5), values.astype(f"{order}u2").tobytes())
    wanted = (values >> 8).astype(np.uint8)
    assert np.array_equal(as_image(image), np.repeat(wanted[..., None], 3, 2))


def test_a_profile_is_applied_as_in_files():
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image, wanted = file_and_image(IMAGE, "RGB", icc_profile=profile)
    assert np.array_equal(as_image(image), wanted)
    assert image.info["icc_profile"] == profile
    linear = linear_profile()
    image, wanted = file_and_image(IMAGE, "RGB", icc_profile=linear)
    assert np.array_equal(as_image(image), wanted)
    assert not np.array_equal(wanted, IMAGE)
