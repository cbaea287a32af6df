"""From the infrared channel of a film scan to the mask of dust and scratches.

Dyes of color film let infrared pass, dust does not. What leaks from the dyes into the channel is
removed, as SANE's `ircleanest` does, by a multiple of ln(red); here it is subtracted from ln(IR),
because layers multiply. A large median removes the light's falloff. Scanners differ in contrast and
noise, so the threshold is in units of the noise of clean film.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import fft, ndimage

from ..errors import CaflowError, check_usage, ensure
from ..images import (
    DEEP_HINT,
    Pixels,
    Raster as Scan,
    decode,
    has_deep,
    white,
)
from ..images.artifacts import cells
from ..images.color import Floats
from ..images.profile import Array
from ..names import INFRARED, make
from ..paths import is_file
from ..tasks.sizes import check_same_size

INFRARED_K = 4.5  # default of `k`
_DARKEST = 2.0**-10  # values below it count as it, so that logarithms are finite
_BLOCK = 8  # side of the blocks to whose means the leak is fitted; it averages grain
_STEPS = 10  # of the robust fit
_LOCAL = 9  # blocks around each, from whose mean it is measured
_FLAT = 0.03  # robust deviation of ln(red) below which there is no image to compare with
_MOST_SLOPE = 0.25  # silver film has some 0.5 to 1, Kodachrome 0.3 and more
_MOST_CONTRAST = 0.4  # deviation of ln(IR) relative to that of ln(red)
_CELLS = 128  # cells along the shorter side, whose medians give the falloff
_LEAST_CELL = 4
_AROUND = 9  # cells; their median is divided by
_SMOOTH = 1.0  # pixels; dust is as soft as that, noise is not
_LEAST_DEVIATION = 0.001  # of clean film, relative to its light: quantization is as coarse
_GROW = 2  # pixels
_MOST_SHIFT = 8
_TILE = 256  # side of the tiles that are correlated
_TILES = 25  # at most
_CLEAR = 1.5  # how many times the next one the peak of a clear shift is
_DEVIATIONS = 8.0  # and how far it is above the correlation's noise


class Leak(NamedTuple):
    """How infrared depends on red."""

    slope: float  # d ln(IR) / d ln(red)
    contrast: float  # robust deviation of ln(IR) relative to that of ln(red); 0 without an image


def infrared_mask(red: Array, infrared: Array, k: float = INFRARED_K) -> Pixels:
    """Find dust and scratches by the infrared channel of an uninverted scan of color film.

    Args:
        red: The red channel, (H, W), or the colors, (H, W, 3), of any depth.
        infrared: (H, W), of any depth.
        k: Marked is what is darker than 1 - kσ of clean film, whose robust deviation is σ; lower
            marks more.

    Returns:
        The mask, uint8 (H, W): 255 where light is blocked, grown by two pixels, else 0.

    Raises:
        CaflowError: (exit 1) the channels differ in size, or infrared shows the image, as in silver
            film and Kodachrome. (exit 2) k is out of range.
    """
    check_usage(1 <= k <= 100, f"k is {k:g}", f"between 1 and 100, such as {INFRARED_K:g}")
    red = red[..., 0] if red.ndim == 3 else red
    check_same_size("infrared is", infrared.shape, red.shape)
    light = _log(infrared)
    colors = _log(red)
    light = np.roll(light, shift_of(colors, light), (0, 1))
    leak = fit_leak(colors, light)
    if leak.slope > _MOST_SLOPE or leak.contrast > _MOST_CONTRAST:
        raise CaflowError(
            f"infrared shows the image (slope {leak.slope:.2f}, contrast {leak.contrast:.2f} of "
            "red's), as in silver film and Kodachrome",
            "--mask auto, or --mask FILE",
        )
    light -= np.float32(leak.slope) * colors
    ratio = np.exp(light - _around(light))
    ratio = ndimage.gaussian_filter(ratio, _SMOOTH)
    clean = float(np.median(ratio))
    dark = ratio < clean - k * max(_deviation(ratio), _LEAST_DEVIATION)
    return np.asarray(ndimage.maximum_filter(dark.view(np.uint8) * np.uint8(255), 2 * _GROW + 1))


def read_infrared(image: Scan, path: Path, name: str) -> Array:
    """Read the infrared channel of a scan, (H, W).

    It is the channel beside the colors that is no alpha, or a second page of the same size, or a
    file beside the image: `NAME_IR.tif` or `NAME_ir.tif`.

    Args:
        image: What the file holds, decoded with `infrared`.
        path: The file.
        name: For messages.

    Raises:
        CaflowError: (exit 1) there is none, or more than one, or it cannot be read.
    """
    found: dict[str, Array] = {}
    if image.infrared is not None:
        found["the scan itself"] = image.infrared
    for beside in files_beside(path):
        found[repr(str(beside))] = decode(beside).image.values[..., 0]
    none = "--mask auto, or scan with infrared: as a channel, a second page, or a file NAME_IR.tif"
    missing = none if has_deep() else f"to read it from the file itself, {DEEP_HINT}"
    ensure(bool(found), f"{name!r} has no infrared channel", missing)
    both = " and ".join(found)
    ensure(len(found) == 1, f"the infrared channel of {name!r} is in {both}", "keep one of them")
    return found.popitem()[1]


def files_beside(path: Path) -> list[Path]:
    """The files `NAME_IR.tif` and `NAME_ir.tif` that exist beside an image, which are infrared."""
    named = [path.with_name(f"{make(path.stem, ending)}.tif") for ending in INFRARED]
    found = [path for path in named if is_file(path)]
    return found[:1] if len(found) == 2 and found[0].samefile(found[1]) else found


def fit_leak(colors: Floats, light: Floats) -> Leak:
    """Fit infrared to ln(red), robustly: dust, which darkens both, has no influence."""
    x = _local(_blocks(colors)).ravel()
    y = _local(_blocks(light)).ravel()
    contrast = _deviation(x)
    if contrast < _FLAT:
        return Leak(0.0, 0.0)
    kept = np.ones(x.size, bool)
    for _ in range(_STEPS):
        slope = float(np.sum(x[kept] * y[kept]) / np.sum(x[kept] ** 2))
        error = y - slope * x
        error -= np.median(error)
        kept = np.abs(error) <= 3 * _deviation(error)
    return Leak(slope, _deviation(y) / contrast)


def _deviation(values: Array) -> float:
    return 1.4826 * float(np.median(np.abs(values - np.median(values))))


def _local(values: Array) -> Array:
    """The values without what varies slowly, as the light's falloff does."""
    return np.asarray(values - ndimage.uniform_filter(values, _LOCAL))


def _log(values: Array) -> Floats:
    """The logarithm of values of any depth, as shares of the largest possible one."""
    shares = values * np.float32(1 / white(values))
    return np.asarray(np.log(np.maximum(shares, np.float32(_DARKEST))))


def _blocks(values: Floats) -> Array:
    """Means of blocks of 8×8 pixels."""
    side = min(_BLOCK, *values.shape)
    return np.asarray(cells(values, side).mean((1, 3)), np.float64)


def _around(light: Floats) -> Floats:
    """A large median, enlarged bilinearly from a grid of cells' medians."""
    height, width = light.shape
    cell = max(_LEAST_CELL, min(height, width) // _CELLS)
    rows = max(1, height // cell)
    columns = max(1, width // cell)
    parts = light[: rows * cell, : columns * cell]
    parts = parts.reshape(rows, min(cell, height), columns, min(cell, width))
    medians = np.median(parts, (1, 3))
    margin = _AROUND // 2  # continued so that a falloff towards the border goes on beyond it
    padded = np.pad(medians, margin, "reflect", reflect_type="odd")
    medians = ndimage.median_filter(padded, _AROUND)[margin:-margin, margin:-margin]
    enlarged = Image.fromarray(medians).resize((width, height), Image.Resampling.BILINEAR)
    return np.array(enlarged)


def shift_of(colors: Floats, light: Floats) -> tuple[int, int]:
    """How far down and right infrared is to be moved; (0, 0) unless phase correlation is clear."""
    side = min(_TILE, *light.shape)
    if side < 8 * _MOST_SHIFT:
        return 0, 0
    surface = _correlation(colors, light, side)
    peak = np.unravel_index(surface.argmax(), surface.shape)
    down, right = ((int(p) + side // 2) % side - side // 2 for p in peak)
    noise = _deviation(surface)
    others = np.roll(surface, (-down + 3, -right + 3), (0, 1))
    others[:7, :7] = surface.min()
    clear = surface.max() > _CLEAR * others.max() and surface.max() > _DEVIATIONS * noise
    near = max(abs(down), abs(right)) <= _MOST_SHIFT
    return (down, right) if clear and near else (0, 0)


def _correlation(colors: Floats, light: Floats, side: int) -> Floats:
    """The phase correlation of tiles of that side, summed over tiles, for each shift."""
    window = np.hanning(side).astype(np.float32)
    window = window[:, None] * window
    count = int(_TILES**0.5)
    total = np.zeros((side, side // 2 + 1), np.complex64)
    for top in {int(t) for t in np.linspace(0, light.shape[0] - side, count)}:
        for left in {int(t) for t in np.linspace(0, light.shape[1] - side, count)}:
            place = slice(top, top + side), slice(left, left + side)
            of_colors = _spectrum(colors[place], window)
            of_light = _spectrum(light[place], window)
            cross = of_colors * np.conj(of_light)
            total += cross / np.maximum(np.abs(cross), 1e-12)
    surface = fft.irfft2(total, (side, side))
    return np.asarray(ndimage.gaussian_filter(surface, 0.7, mode="wrap"))


def _spectrum(tile: Floats, window: Floats) -> npt.NDArray[np.complex64]:
    """The spectrum of a tile's fine detail."""
    fine = tile - ndimage.gaussian_filter(tile, 4)
    return np.asarray(fft.rfft2(fine * window))
