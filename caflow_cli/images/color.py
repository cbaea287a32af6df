"""Color and transparency: decoded values as 8-bit sRGB, with separate alpha.

Files store straight (un-premultiplied) colors. The color of a transparent pixel is arbitrary,
but a filter that reads it would mix it into visible pixels.
"""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms, ImageFilter

_Floats = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]  # (H, W, C), or (H, W) of alpha, gray and masks; 0-255

_STRIP = 2**20  # pixels converted at a time, to bound memory


def strips(height: int, width: int) -> list[slice]:
    """Slices of rows, about a million pixels each, to bound the memory of operations."""
    rows = max(1, _STRIP // width)
    return [slice(top, top + rows) for top in range(0, height, rows)]


def is_gray(image: Pixels) -> bool:
    """Whether the channels of an image, uint8 (H, W, 3), are equal."""
    for rows in strips(*image.shape[:2]):
        part = image[rows]
        if (part != part[..., :1]).any():
            return False
    return True


def to_srgb(image: Image.Image) -> tuple[Pixels, Pixels | None]:
    """Convert a loaded image of any mode to sRGB and alpha, a few rows at a time.

    Returns:
        Colors, uint8 (H, W, 3), and alpha, (H, W), which is None if every pixel is opaque.
    """
    width, height = image.size
    rgb = np.empty((height, width, 3), np.uint8)
    opacities = []
    convert: Callable[[Image.Image], Image.Image] | None = None
    for rows in strips(height, width):
        box = (0, rows.start, width, min(rows.stop, height))
        base, opacity = _split(image.crop(box))
        convert = convert or _converter(base.mode, image.info.get("icc_profile"))
        rgb[rows] = np.asarray(convert(base))
        if opacity is not None:
            opacities.append(np.asarray(opacity))
    alpha = np.concatenate(opacities) if opacities else None
    return rgb, None if alpha is None or alpha.min() == 255 else alpha


def _split(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Separate 8-bit colors (mode L, RGB, CMYK or LAB) from alpha (mode L), if there is any."""
    mode = image.mode
    hidden = image.info.get("transparency")  # the values of transparent pixels, or of a palette
    if mode.startswith("I"):
        values = np.asarray(image)
        levels = (values.astype(np.uint32) + 128) // 257  # 0-65535 to 0-255
        gray = Image.fromarray(levels.astype(np.uint8))
        if not isinstance(hidden, int):
            return gray, None
        return gray, Image.fromarray(np.where(values == hidden, 0, 255).astype(np.uint8))
    is_gray = mode in ("1", "L", "LA", "La")
    if mode == "La":
        image = image.convert("LA")
    if mode in ("LA", "La", "RGBA", "RGBa", "PA") or hidden is not None:
        straight = image.convert("RGBA")
        base = straight.getchannel("R") if is_gray else straight.convert("RGB")
        return base, straight.getchannel("A")
    if mode in ("CMYK", "LAB"):
        return image, None
    return image.convert("L" if is_gray else "RGB"), None


def _converter(mode: str, profile: bytes | None) -> Callable[[Image.Image], Image.Image]:
    """Make a function that converts images of mode L, RGB, CMYK or LAB to sRGB.

    Without a profile, RGB is taken as sRGB, L as its gray, and CMYK is converted by Pillow's
    formula. A profile that is sRGB up to rounding changes no pixel; a broken one is ignored.
    """

    def plain(image: Image.Image) -> Image.Image:
        return image.convert("RGB")

    try:
        if mode == "LAB":
            source: Any = ImageCms.createProfile("LAB")
        elif profile:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            if mode == "L" and source.profile.xcolor_space.strip() == "RGB":
                mode = "RGB"
        else:
            return plain
        transform = ImageCms.buildTransform(
            source,
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (OSError, ValueError, ImageCms.PyCMSError):
        return plain

    def transformed(image: Image.Image) -> Image.Image:
        return transform.apply(image.convert(mode))

    if mode in ("RGB", "L"):
        probe = Image.fromarray(_PROBE).convert(mode)
        converted = np.asarray(transformed(probe), np.int16)
        if np.abs(converted - np.asarray(plain(probe))).max() <= 2:
            return plain
    return transformed


# All colors of a 9 x 9 x 9 grid, as an image of 27 x 27.
_GRID = np.linspace(0, 255, 9).astype(np.uint8)
_PROBE = np.stack(np.meshgrid(_GRID, _GRID, _GRID), -1).reshape(27, 27, 3)


# --- transparency ---------------------------------------------------------------------------------


def fill_transparent(rgb: Pixels, alpha: Pixels, *, soften: bool = False) -> Pixels:
    """Fill transparent pixels with the visible colors around them: uint8 (H, W, 3).

    The new color is the alpha-weighted (premultiplied) mean of the smallest block around the pixel
    that contains a visible pixel, interpolated; the sides of blocks are powers of two. Opaque
    pixels and fully transparent images are never changed.

    Args:
        rgb: Straight colors, (H, W, 3).
        alpha: (H, W), 0 transparent to 255 opaque.
        soften: Also blend that mean into pixels that are fainter than their neighbors: `(a c +
            (m - a) mean) / m`, where m is the largest alpha in the 5 x 5 neighborhood (the support
            of BICUBIC). Use this before enlarging an image, because the filter weights a faint
            pixel's color like that of an opaque one. Uniform transparency changes nothing.
    """
    if not alpha.any():
        return rgb
    mean = _mean_around(rgb, alpha)
    if not soften:
        filled: Pixels = np.where(alpha[..., None] > 0, rgb, mean)
        return filled
    most = np.asarray(Image.fromarray(alpha).filter(ImageFilter.MaxFilter(5)))
    share = alpha / np.maximum(most, 1).astype(np.float32)
    share = share[..., None]
    blend = np.rint(share * rgb + (1 - share) * mean)
    return blend.astype(np.uint8)  # type: ignore[no-any-return]


def _mean_around(rgb: Pixels, alpha: Pixels) -> Pixels:
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
        enlarged = _resize(mean, weights.shape)
        mean = np.where(weights > 0, sums / np.maximum(weights, 1), enlarged)
    return np.rint(_resize(mean, alpha.shape)).astype(np.uint8)


def _halve(values: _Floats) -> _Floats:
    """Sum over blocks of 2 x 2; the last block of an odd side is half empty."""
    height, width = values.shape[:2]
    padded = np.pad(values, [(0, height % 2), (0, width % 2), (0, 0)])
    rows = padded[::2] + padded[1::2]
    return rows[:, ::2] + rows[:, 1::2]


def _resize(values: _Floats, shape: tuple[int, ...]) -> _Floats:
    """Upsample bilinearly by 2, then crop to (H, W), for odd sides."""
    height, width = values.shape[:2]
    planes = []
    for c in range(3):
        plane = Image.fromarray(values[..., c])
        plane = plane.resize((2 * width, 2 * height), Image.Resampling.BILINEAR)
        planes.append(np.asarray(plane))
    return np.stack(planes, -1)[: shape[0], : shape[1]]
