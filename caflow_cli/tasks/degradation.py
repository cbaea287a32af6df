"""Degrade images like those on the web: blurred, shrunk, noisy and compressed, once or twice.

Order and repetition follow Real-ESRGAN (Wang et al. 2021); the ranges are milder.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

import numpy as np
from PIL import Image

from ..config import Extent
from ..images import Pixels
from ..images.color import Floats
from .base import resize

_REACH = 12  # pixels of reflection padding around a blurred image
_BLOCK = 16  # side of a JPEG block with halved chroma, in pixels
_KERNELS = (
    *[Image.Resampling.BICUBIC] * 3,
    *[Image.Resampling.BOX] * 2,
    *[Image.Resampling.BILINEAR] * 2,
    Image.Resampling.LANCZOS,
)


def shrink_as_photo(target: Pixels, factor: int, rng: np.random.Generator) -> Pixels:
    """Shrink an image to a realistic input: uint8 (H, W, 3) to (H/factor, W/factor, 3).

    12 % of the images are shrunk by BICUBIC alone. The others go through blur, resize, noise and
    compression: 50 % of all once, 38 % twice, with a random size in between. Each operation is
    skipped with some probability. σ is log-uniform:

        blur    σ 0.4 to 3 pixels, Gaussian, isotropic or not; 8 % ideal low-pass (ringing)
        noise   σ 1 to 12 levels, per channel or gray, constant or growing with brightness
        JPEG    quality 28 to 95, 2/3 with halved chroma; the block grid is shifted at random
        WebP    the same, instead of half of the JPEGs; chroma is always halved
    """
    height, width = target.shape[:2]
    small = (height // factor, width // factor)
    kind = rng.random()
    if kind < 0.12:
        return resize(target, *small)
    if kind < 0.62:
        return _degrade(
            target,
            small,
            (0.75, 0.4, 2.8),
            (2 / 3, 9),
            0.9,
            rng,
        )
    scale = _log_uniform(rng, 1.2 / factor, 1.2)
    between = (
        max(8, round(height * scale)),
        max(8, round(width * scale)),
    )
    image = _degrade(
        target,
        between,
        (0.85, 0.4, 3),
        (0.6, 12),
        0.7,
        rng,
    )
    blur = (0.5, 0.15 * scale * factor, 0.5 * scale * factor)
    return _degrade(
        image,
        small,
        blur,
        (0.5, 7),
        0.9,
        rng,
    )


def shrink_as_web(
    truth: Pixels,
    height: int,
    width: int,
    index: int,
) -> Pixels:
    """Shrink an image like typical web images: Gaussian blur with σ 1.6 pixels, Pillow BICUBIC,
    Gaussian noise with σ 4 levels (seed `index`), JPEG of quality 60 with halved chroma."""
    from scipy import ndimage  # imported here, because it takes 0.2 s

    blurred = ndimage.gaussian_filter(truth.astype(np.float32), (1.6, 1.6, 0))
    small = resize(np.rint(blurred).astype(np.uint8), height, width)
    noise = np.random.default_rng(index).standard_normal(small.shape)
    noisy = np.rint(small + 4 * noise).clip(0, 255)
    return compress(noisy.astype(np.uint8), 60, halved=True)


def _degrade(
    image: Pixels,
    size: Extent,
    blur: tuple[float, float, float],
    noise: tuple[float, float],
    compressed: float,
    rng: np.random.Generator,
) -> Pixels:
    """Blur, resize, noise and compression.

    Args:
        blur: Its probability, and the range of σ in pixels.
        noise: Its probability, and the largest σ in levels; the smallest is 1.
        compressed: The probability of compression.
    """
    values = image.astype(np.float32)
    if rng.random() < blur[0]:
        values = _blur(values, _log_uniform(rng, *blur[1:]), rng)
    if size != values.shape[:2]:
        kernel = _KERNELS[rng.integers(len(_KERNELS))]
        values = resize(_rounded(values), *size, kernel).astype(np.float32)
    if rng.random() < noise[0]:
        values = _noisy(values, noise[1], rng)
    if rng.random() >= compressed:
        return _rounded(values)
    format = "WEBP" if rng.random() < 1 / 2 else "JPEG"
    corner = rng.integers(_BLOCK, size=2).tolist()
    quality = int(rng.integers(28, 96))
    halved = rng.random() < 2 / 3
    return compress(_rounded(values), quality, halved=halved, corner=corner, format=format)


def _noisy(values: Floats, most: float, rng: np.random.Generator) -> Floats:
    """Add gray or colored noise of a σ from 1 to `most`; a third of it is shot noise."""
    channels = 1 if rng.random() < 0.4 else 3
    grain = rng.standard_normal((*values.shape[:2], channels), np.float32)
    if rng.random() < 1 / 3:
        grain = grain * np.sqrt(values.clip(0, 255) / 128)
    return values + _log_uniform(rng, 1, most) * grain


def compress(
    image: Pixels,
    quality: int,
    *,
    halved: bool,
    corner: Sequence[int] = (0, 0),
    format: str = "JPEG",
) -> Pixels:
    """Encode as JPEG, optionally with halved chroma, or as WebP, and decode.

    `corner` is the position of the first pixel in its 16×16 block.
    """
    top, left = corner
    height, width = image.shape[:2]
    rows = (top, -(top + height) % _BLOCK)
    columns = (left, -(left + width) % _BLOCK)
    padded = np.pad(image, (rows, columns, (0, 0)), mode="symmetric")
    stream = io.BytesIO()
    subsampling = 2 if halved else 0
    Image.fromarray(padded).save(stream, format, quality=quality, subsampling=subsampling)
    with Image.open(stream) as decoded:
        return np.array(decoded)[top : top + height, left : left + width]


def _blur(x: Floats, sigma: float, rng: np.random.Generator) -> Floats:
    """Multiply the spectrum by that of a Gaussian, or by an ideal low-pass."""
    reach = min(_REACH, min(x.shape[:2]) - 1)
    around = (reach, reach)
    padded = np.pad(x, (around, around, (0, 0)), mode="reflect")
    height, width = padded.shape[:2]
    v = np.fft.fftfreq(height).astype(np.float32)[:, None]  # cycles per pixel
    u = np.fft.rfftfreq(width).astype(np.float32)
    spectrum = np.fft.rfft2(padded, axes=(0, 1))
    spectrum = spectrum * _response(u, v, sigma, rng)[..., None]
    blurred = np.fft.irfft2(spectrum, (height, width), axes=(0, 1))
    return blurred[reach:-reach, reach:-reach].astype(np.float32)


def _response(u: Floats, v: Floats, sigma: float, rng: np.random.Generator) -> Floats:
    """How much of the frequencies, (W,) and (H, 1), passes a random blur: (H, W)."""
    kind = rng.random()
    if kind < 0.08:
        cutoff = min(0.48, 0.35 / sigma)
        return (u**2 + v**2 < cutoff**2).astype(np.float32)
    across = sigma
    angle = 0.0
    if kind < 0.4:
        across = sigma * rng.uniform(0.3, 1)
        angle = rng.uniform(0, math.pi)
    cos = math.cos(angle)
    sin = math.sin(angle)
    squares = (sigma * (cos * u + sin * v)) ** 2
    squares = squares + (across * (cos * v - sin * u)) ** 2
    return np.asarray(np.exp(-2 * np.pi**2 * squares))


def _rounded(x: Floats) -> Pixels:
    return np.rint(x).clip(0, 255).astype(np.uint8)


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(low * (high / low) ** rng.random())
