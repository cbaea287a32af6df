"""Small pictures as they come: blurred, noisy, compressed, and shrunk by one kernel or another."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageFilter

from .base import Picture

if TYPE_CHECKING:
    import torch

__all__ = ["shrink_as_photo"]

_CLEAN = 0.5  # this share is shrunk by BICUBIC, and that is all
_BLURRED, _BLUR = 0.5, (0.05, 0.5)  # the share, and sigma in pixels of the small picture
_NOISY, _NOISE = 1 / 3, (1.0, 10.0)  # sigma in levels
_GREY = 0.5  # the share of noise that is the same in all colours
_COMPRESSED, _QUALITY = 0.5, (40, 95)  # of JPEG
_HALVED = 0.5  # the share of JPEG whose chroma is stored at half of the resolution
_BLOCK = 16  # pixels of a block of JPEG, chroma included
_KERNELS = (
    *[Image.Resampling.BICUBIC] * 4,  # half of all
    Image.Resampling.NEAREST,
    Image.Resampling.BILINEAR,
    Image.Resampling.BOX,
    Image.Resampling.LANCZOS,
)


def shrink_as_photo(target: Picture, factor: int, generator: torch.Generator) -> Picture:
    """Shrink a picture to an input as users have it: uint8 (H, W, 3) to (H/factor, W/factor, 3).

    Half of the pictures are shrunk by BICUBIC, as in validation. The others are, in this order:

        blurred, half of them: Gaussian, sigma 0.05 to 0.5 pixels of the small picture
        shrunk: by BICUBIC (half of them), NEAREST, BILINEAR, BOX or LANCZOS
        noisy, a third: Gaussian, sigma 1 to 10 levels, in half of these the same in all colours
        compressed, half: JPEG of quality 40 to 95, in half of these with halved chroma

    All ranges are uniform. Blocks of JPEG begin anywhere, as in a picture that this is a part of.

    Args:
        target: Its sides are multiples of the factor.
        factor: How many times smaller the result is.
        generator: Draws all of this.
    """
    import torch  # here, so that the tasks' defaults are had without it

    u = torch.rand(12, generator=generator, dtype=torch.float64).tolist()
    size = (target.shape[1] // factor, target.shape[0] // factor)
    image = Image.fromarray(target)
    if u[0] < _CLEAN:
        return np.array(image.resize(size, Image.Resampling.BICUBIC))
    if u[1] < _BLURRED:
        image = image.filter(ImageFilter.GaussianBlur(factor * _between(_BLUR, u[2])))
    small = np.array(image.resize(size, _KERNELS[int(u[3] * len(_KERNELS))]))
    if u[4] < _NOISY:
        channels = 1 if u[6] < _GREY else 3
        noise = torch.randn((*small.shape[:2], channels), generator=generator).numpy()
        noisy = small + _between(_NOISE, u[5]) * noise
        small = np.rint(noisy).clip(0, 255).astype(np.uint8)
    if u[7] < _COMPRESSED:
        corner = int(_BLOCK * u[10]), int(_BLOCK * u[11])
        small = _compress(small, round(_between(_QUALITY, u[8])), u[9] < _HALVED, corner)
    return small


def _between(limits: tuple[float, float], share: float) -> float:
    return limits[0] + (limits[1] - limits[0]) * share


def _compress(image: Picture, quality: int, halved: bool, corner: tuple[int, int]) -> Picture:
    """Encode as JPEG and decode, with the first pixel at that place of a block."""
    top, left = corner
    height, width = image.shape[:2]
    around = ((top, -(top + height) % _BLOCK), (left, -(left + width) % _BLOCK), (0, 0))
    whole = np.pad(image, around, mode="symmetric")
    stream = io.BytesIO()
    Image.fromarray(whole).save(stream, "JPEG", quality=quality, subsampling=2 if halved else 0)
    with Image.open(stream) as decoded:
        return np.array(decoded)[top : top + height, left : left + width]
