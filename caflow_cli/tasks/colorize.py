"""Colorization: the condition is the image's grey, whose luminance is kept at full size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from .base import (
    Pixels,
    WholeImage,
    check_target,
    grey,
    pad,
    padded_size,
    resize,
    scaled_size,
    strips,
)

if TYPE_CHECKING:
    import torch

    from ..config import Config

Plane = npt.NDArray[np.float32]

_R, _G, _B = 19595, 38470, 7471  # Rec. 601 in 65536ths, as Pillow has them
_ONE = _R + _G + _B
_HALF_AT = 24.0  # levels of luminance between two pixels at which a colour counts half
_CORRECTIONS = 2
_COLOUR = 24  # levels between the channels of a pixel, above which it is coloured, not toned
_COLOURED = 0.02  # this share of coloured pixels makes a coloured image
_LEAST = 1e-3  # levels: less chroma is none, and is divided by no less


@dataclass(frozen=True)
class Colorize(WholeImage):
    """Adds colours to a grey image of any size.

    Colour is made at model scale: the image is resized by Pillow BICUBIC until its shorter side
    is `size`, with its aspect kept, and then padded. Only the chroma of the sample is used. It is
    enlarged, added to the luminance of the image, and shrunk towards grey until it is in gamut.
    """

    size: int = 64  # the shorter side at model scale
    multiple: int = 16  # of the flow's sides
    inputs: str = "clean"  # of training: as targets are; or "photo": changed by `as_print`

    name: ClassVar[str] = "colorize"
    channels: ClassVar[tuple[int, ...]] = (1,)
    tau: ClassVar[float] = 0.85

    @classmethod
    def of(cls, config: Config) -> Colorize:
        return cls(config.task.size, config.flow.multiple, config.task.degrade)

    def model_size(self, image: Pixels, mask: Pixels | None = None) -> tuple[int, int]:
        return padded_size(*scaled_size(image, self.size), self.multiple)

    def condition(self, image: Pixels) -> Pixels:
        return pad(resize(grey(image), *scaled_size(image, self.size)), self.multiple)[..., None]

    def compose(self, image: Pixels, sample: Pixels) -> Pixels:
        """Add the sample's chroma to the image. `convert("L")` gives the same before and after.

        Each pixel is `L + k (sample - Y)`, with the luma Y of the sample and the grey L of the
        image. k <= 1 is as large as [0, 255] allows.
        """
        height, width = image.shape[:2]
        h, w = scaled_size(image, self.size)
        level = grey(image)
        chroma = upsample_chroma(_chroma(sample[:h, :w]), resize(level, h, w), level)
        parts = strips(height, width)
        return np.concatenate([_tint(level[part], [c[part] for c in chroma]) for part in parts])

    def reduce(self, image: Pixels, target: Pixels) -> tuple[Pixels, Pixels]:
        """The target at model scale and its grey there, both padded.

        To the grey the difference of the greys of image and target at model scale is added. So the
        target is scored under the image's luminance.
        """
        check_target(image, target, image.shape[:2], "the size of the condition")
        h, w = scaled_size(image, self.size)
        small = resize(target, h, w)
        wanted, found = (resize(grey(x), h, w).astype(np.int16) for x in (image, target))
        level = np.clip(grey(small) + wanted - found, 0, 255).astype(np.uint8)
        return pad(level[..., None], self.multiple), pad(small, self.multiple)

    def keep_known(self, condition: Pixels, sample: Pixels) -> Pixels:
        return _tint(condition[..., 0], _chroma(sample))

    def keep_known_points(self, condition: torch.Tensor, sample: torch.Tensor) -> torch.Tensor:
        """`L + k (sample - Y)`, as `compose` has it; k keeps to the middles of the 256 levels."""
        luma = sample.new_tensor([_R, _G, _B]).div(_ONE)[:, None, None]
        chroma = sample - (sample * luma).sum(1, keepdim=True)
        room = ((255.5 - condition) / chroma.clamp_min(_LEAST)).minimum(
            (condition - 0.5) / (-chroma).clamp_min(_LEAST)
        )
        return condition + chroma * room.amin(1, keepdim=True).clamp(max=1)

    def training_target(self, target: Pixels, generator: torch.Generator) -> Pixels:
        return as_print(target, generator) if self.inputs == "photo" else target

    def training_condition(
        self, target: Pixels, generator: torch.Generator | None = None
    ) -> Pixels:
        return grey(target)[..., None]

    def note(self, image: Pixels, mask: Pixels | None) -> str | None:
        coloured = float((np.ptp(image, axis=-1) > _COLOUR).mean())
        return "its own colours are dropped, and others drawn" if coloured > _COLOURED else None


def saturate(image: Pixels, saturation: float) -> Pixels:
    """Multiply the chroma of an image, in gamut and with its luminance kept: uint8 (H, W, 3)."""
    parts = [image[part] for part in strips(*image.shape[:2])]
    return np.concatenate([_tint(grey(x), [saturation * c for c in _chroma(x)]) for x in parts])


def as_print(image: Pixels, generator: torch.Generator) -> Pixels:
    """Give an image the luminance of an old print, and keep its chroma: uint8 (H, W, 3).

    A quarter of the images stay as they are. Of the others the luma L in [0, 1] becomes, in this
    order, with all ranges uniform:

        blurred, a third: Gaussian, sigma 0.3 to 1 pixel
        L^γ, γ from 0.6 to 1.6, uniform in log γ
        faded, two thirds: b + (w - b) L, b from 0 to 0.25 and w from 0.7 to 1
        darker towards the corners, a third: L (1 - v r²), v from 0 to 0.5, r = 1 there
        grainy, a third: Gaussian noise, sigma 1 to 5 levels

    Colours that do not fit are shrunk towards grey until they are in gamut.
    """
    import torch  # here, so that the tasks' defaults are had without it

    u = torch.rand(11, generator=generator, dtype=torch.float64).tolist()
    if u[0] < 1 / 4:
        return image
    plane = Image.fromarray(grey(image))
    if u[1] < 1 / 3:
        plane = plane.filter(ImageFilter.GaussianBlur(0.3 + 0.7 * u[2]))
    luma = (np.asarray(plane, np.float32) / 255) ** (0.6 * (1.6 / 0.6) ** u[3])
    if u[4] < 2 / 3:
        black, white = 0.25 * u[5], 1 - 0.3 * u[6]
        luma = black + (white - black) * luma
    if u[7] < 1 / 3:
        y, x = (np.linspace(-1, 1, side, dtype=np.float32) for side in luma.shape)
        luma = luma * (1 - 0.5 * u[8] * (y[:, None] ** 2 + x**2) / 2)
    levels = 255 * luma
    if u[9] < 1 / 3:
        levels = levels + (1 + 4 * u[10]) * torch.randn(luma.shape, generator=generator).numpy()
    return _tint(np.rint(levels).clip(0, 255).astype(np.uint8), _chroma(image))


def _chroma(sample: Pixels) -> list[Plane]:
    """Red, green and blue, each minus the luma: (H, W) each."""
    values = sample.astype(np.float32)
    luma = (values @ np.array([_R, _G, _B], np.float32)) / _ONE
    return [np.asarray(values[..., c] - luma, np.float32) for c in range(3)]


def _tint(level: Pixels, chroma: list[Plane]) -> Pixels:
    """Colour the grey `level` with chroma, all (H, W), shrunk into gamut: uint8 (H, W, 3)."""
    luma = level.astype(np.float32)
    keep = np.ones_like(luma)
    for plane in chroma:
        room = np.where(plane > 0, 255 - luma, luma)
        size = np.abs(plane)
        np.minimum(keep, np.divide(room, size, out=np.ones_like(luma), where=size > room), out=keep)
    r, b = (np.rint(luma + keep * plane).clip(0, 255) for plane in chroma[::2])
    # Green last, with the largest weight: it takes up the rounding of the other two, so that the
    # luminance comes out exact.
    g = np.rint((float(_ONE) * luma - _R * r - _B * b) / _G).clip(0, 255)
    return np.stack([r, g, b], axis=-1).astype(np.uint8)


def upsample_chroma(planes: list[Plane], small: Pixels, level: Pixels) -> list[Plane]:
    """Enlarge planes of chroma so that colours end where the luminance has edges.

    First every pixel p takes a mean over the four pixels q around it at model scale, in which those
    count that have its own luminance (Kopf et al., Joint Bilateral Upsampling, 2007):

        c(p) = Σ_q w(p, q) c(q) / Σ_q w(p, q),  w = bilinear(p, q) / (1 + ((L(p) - l(q)) / 24)²)

    Then what this lacks of the chroma at model scale is enlarged by BICUBIC and added, twice:
    `c += enlarge(chroma - shrink(c))`. So the result, shrunk, has the chroma that it was made from.
    An image that is no larger than model scale needs no edges: its planes are resized.

    Args:
        planes: Chroma at model scale, (h, w) each. The result is at full size.
        small, level: l and L, the luminance at model scale and at full size, uint8 (H, W).
    """
    (height, width), (h, w) = level.shape, small.shape
    if height <= h and width <= w:
        return [resize(plane, height, width) for plane in planes]
    rows, down = _neighbours(height, h)
    columns, right = _neighbours(width, w)
    near = small.astype(np.float32) / _HALF_AT
    result = [np.empty((height, width), np.float32) for _ in planes]
    for strip in strips(height, width):
        own = level[strip].astype(np.float32) / _HALF_AT
        total = np.zeros_like(own)
        sums = [np.zeros_like(own) for _ in planes]
        for row, vertical in zip(rows, down, strict=True):
            for column, horizontal in zip(columns, right, strict=True):
                q = np.ix_(row[strip], column)
                weight = vertical[strip, None] * horizontal / (1 + np.square(own - near[q]))
                total += weight
                for plane, summed in zip(planes, sums, strict=True):
                    summed += weight * plane[q]
        for full, summed in zip(result, sums, strict=True):
            full[strip] = summed / total
    for plane, full in zip(planes, result, strict=True):
        for _ in range(_CORRECTIONS):
            full += resize(plane - resize(full, h, w), height, width)
    return result


def _neighbours(full: int, small: int) -> tuple[list[npt.NDArray[np.intp]], list[Plane]]:
    """Of each of `full` pixels the two nearest of `small`, and their bilinear weights."""
    place = (np.arange(full) + 0.5) * small / full - 0.5
    first = np.floor(place)
    share = (place - first).astype(np.float32)
    indices = [np.clip(first + k, 0, small - 1).astype(np.intp) for k in (0, 1)]
    return indices, [1 - share, share]
