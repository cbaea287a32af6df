"""Color, size and transparency: decoded values, with separate alpha.

Files store straight (un-premultiplied) colors. The color of a transparent pixel is arbitrary,
but a filter that reads it would mix it into visible pixels.
"""

from contextlib import suppress
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from .profile import Array, converter, strips

Floats: TypeAlias = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.unsignedinteger[Any]]  # uint8 or uint16, (H, W, C) or (H, W)

LUMA = (19595, 38470, 7471)  # Rec. 601 weights of red, green and blue in 65536ths, as in Pillow
ONE = sum(LUMA)
VALUES = 256  # of 16 bits in a level of 8 bits: 256 v to 256 v + 255 are v, as on the model's scale


def resize(
    image: Array,
    height: int,
    width: int,
    filter: Image.Resampling = Image.Resampling.BICUBIC,
    box: tuple[float, float, float, float] | None = None,
) -> Array:
    """Resize by Pillow: uint8, uint16 or float32, (H, W, 3) or (H, W), to the same type.

    Rows are resized first, then columns. Integers are rounded: those of 8 bits after each of these
    passes, 16 bits at the end.
    `box` is the region to resize: left, top, right, bottom. Default: all of the image.
    """
    if image.dtype == np.uint16:
        resized = resize(image.astype(np.float32), height, width, filter, box)
        return np.asarray(np.rint(resized).clip(0, 65535), np.uint16)
    if image.ndim == 3 and image.dtype == np.float32:  # Pillow has no such images
        planes = [resize(plane, height, width, filter, box) for plane in np.moveaxis(image, -1, 0)]
        return np.stack(planes, axis=-1)
    left, top, right, bottom = box or (0, 0, image.shape[1], image.shape[0])
    # One pass after the other, because Pillow 13 starts with the one that makes less work.
    wide = Image.fromarray(image).resize((width, len(image)), filter, (left, 0, right, len(image)))
    result = wide.resize((width, height), filter, (0, top, width, bottom))
    return np.array(result)  # not `asarray`: it would be read-only, which torch warns about


def gray(image: Pixels) -> Pixels:
    """Convert to gray by Pillow's `convert("L")`, Rec. 601 luma: (H, W, 3) to (H, W)."""
    if image.dtype == np.uint8:
        return np.array(Image.fromarray(image).convert("L"))
    result = np.empty(image.shape[:2], image.dtype)
    for part in strips(*image.shape[:2]):
        result[part] = (image[part] @ np.array(LUMA, np.uint32) + ONE // 2) >> 16
    return result


def in_gray(image: Pixels) -> Pixels:
    """The gray of an image in three channels: (H, W, 3)."""
    result = np.empty_like(image)
    for part in strips(*image.shape[:2]):
        result[part] = gray(image[part])[..., None]
    return result


def white(image: Array) -> int:
    """The largest value of an image's type: 255 or 65,535; 1 of floats."""
    return int(np.iinfo(image.dtype).max) if image.dtype.kind == "u" else 1


def levels_in(image: Array) -> int:
    """How many values of an image's type a level of 8 bits has: 1 or 256."""
    return (white(image) + 1) // VALUES


def is_gray(image: Pixels) -> bool:
    """Whether the channels of an image, uint8 (H, W, 3), are equal."""
    for rows in strips(*image.shape[:2]):
        part = image[rows]
        if (part != part[..., :1]).any():
            return False
    return True


def split_colors(image: Image.Image) -> tuple[Array, Array | None]:
    """The colors of a loaded image, uint8 (H, W, 3), and its alpha, (H, W), if there is any.

    CMYK and LAB are converted to sRGB, a few rows at a time.
    """
    width, height = image.size
    rgb = np.empty((height, width, 3), np.uint8)
    opacities = []
    convert = None
    if image.mode in ("CMYK", "LAB"):
        with suppress(ValueError):  # a broken profile, which `decode` names
            convert = converter(image.mode, image.info.get("icc_profile"))
    for rows in strips(height, width):
        base, opacity = _split(image.crop((0, rows.start, width, rows.stop)))
        rgb[rows] = np.asarray(base.convert("RGB") if convert is None else convert(base))
        if opacity is not None:
            opacities.append(np.asarray(opacity))
    return rgb, np.concatenate(opacities) if opacities else None


def in_8_bits(values: Array) -> Pixels:
    """The levels of 8 bits in which values of 16 bits lie, as Pillow reads them: `v // 256`."""
    if values.dtype == np.uint8:
        return values
    levels = np.empty(values.shape, np.uint8)
    return np.floor_divide(values, VALUES, out=levels, casting="unsafe")


def in_16_bits(values: Pixels) -> Pixels:
    """Scale 8 bits to 16, by 257: black and white stay so, and `in_8_bits` is the inverse."""
    return values if values.dtype == np.uint16 else values.astype(np.uint16) * np.uint16(257)


def _split(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """The colors of an image, 8 bits in any mode, and its alpha (mode L), if there is any."""
    hidden = image.info.get("transparency")  # the values of transparent pixels, or of a palette
    if image.mode.startswith("I"):
        return _split_16(np.asarray(image), hidden)
    if image.mode == "La":  # Pillow converts it to nothing else
        image = image.convert("LA")
    if image.mode in ("LA", "RGBA", "RGBa", "PA") or hidden is not None:
        image = image.convert("RGBA")
        return image, image.getchannel("A")
    return image, None


def _split_16(values: Array, hidden: Any) -> tuple[Image.Image, Image.Image | None]:
    """The same for gray values of 16 bits, of which one may be transparent."""
    gray = Image.fromarray(in_8_bits(values))
    if not isinstance(hidden, int):
        return gray, None
    return gray, Image.fromarray(np.where(values == hidden, 0, 255).astype(np.uint8))


# --- transparency ---------------------------------------------------------------------------------


def fill_transparent(rgb: Array, alpha: Array, *, soften: bool = False) -> Array:
    """Fill transparent pixels with the visible colors around them: (H, W, 3), of the same type.

    The new color is the alpha-weighted (premultiplied) mean of the smallest block around the pixel
    that contains a visible pixel, interpolated; the sides of blocks are powers of two. Opaque
    pixels and fully transparent images are never changed.

    Args:
        rgb: Straight colors, (H, W, 3).
        alpha: (H, W), 0 transparent to `white(alpha)` opaque.
        soften: Also blend that mean into pixels that are fainter than their neighbors: `(a c +
            (m - a) mean) / m`, where m is the largest alpha in the 5 x 5 neighborhood (the support
            of BICUBIC). Use this before enlarging an image, because the filter weights a faint
            pixel's color like that of an opaque one. Uniform transparency changes nothing.
    """
    if not alpha.any():
        return rgb
    mean = _mean_around(rgb, alpha)
    if not soften:
        return np.where(alpha[..., None] > 0, rgb, mean)
    # Pillow filters integers of 8 and 32 bits.
    filtered = alpha if alpha.dtype == np.uint8 else alpha.astype(np.int32)
    most = np.asarray(Image.fromarray(filtered).filter(ImageFilter.MaxFilter(5)))
    share = alpha / np.maximum(most, 1).astype(np.float32)
    share = share[..., None]
    blend = np.rint(share * rgb + (1 - share) * mean)
    return np.asarray(blend, rgb.dtype)


def _mean_around(rgb: Array, alpha: Array) -> Array:
    """For each pixel, the premultiplied mean of the smallest block of side 2, 4, … with alpha."""
    weight = alpha.astype(np.float32)[..., None]
    sums = _halve(rgb * weight)
    weights = _halve(weight)
    levels = []  # the finer ones
    while weights.shape[:2] != (1, 1):
        levels.append((sums, weights))
        sums = _halve(sums)
        weights = _halve(weights)
    mean = sums / weights
    for sums, weights in reversed(levels):
        enlarged = _doubled(mean, weights.shape)
        mean = np.where(weights > 0, sums / np.where(weights > 0, weights, 1), enlarged)
    mean = _doubled(mean, alpha.shape)
    return (np.rint(mean) if rgb.dtype.kind == "u" else mean).astype(rgb.dtype)


def _halve(values: Floats) -> Floats:
    """Sum over blocks of 2 x 2; the last block of an odd side is half empty."""
    height, width = values.shape[:2]
    padded = np.pad(values, [(0, height % 2), (0, width % 2), (0, 0)])
    rows = padded[::2] + padded[1::2]
    return rows[:, ::2] + rows[:, 1::2]


def _doubled(values: Floats, shape: tuple[int, ...]) -> Floats:
    """Upsample bilinearly by 2, then crop to (H, W), for odd sides."""
    height, width = values.shape[:2]
    doubled = resize(values, 2 * height, 2 * width, Image.Resampling.BILINEAR)
    return doubled[: shape[0], : shape[1]]
