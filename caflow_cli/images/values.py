"""A raster as one value, an image or a measured field; and the files that hold one."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal, Protocol

import numpy as np

from ..config import HOLE, Extent
from .color import Pixels, fill_transparent, in_8_bits, resize
from .deep import TiffParts
from .metadata import Metadata
from .profile import Array, convert, is_display, strips
from .ranges import Range, from_levels, low_note, to_levels

Steps = Literal["linear", "db"]  # of what the steps of data are equal: of the values or of their dB


class Place(Protocol):
    """What places a field: tags of a GeoTIFF, or coordinates and attributes."""

    def refined(self, factor: int) -> Place:
        """The same area in `factor` times as many rows and columns."""

    def cut(self, rows: slice, columns: slice) -> Place:
        """The place of a part."""


@dataclass(frozen=True)
class Unit:
    """Of the values of a measured field.

    Attributes:
        name: As the file states it, such as "mm/h"; empty if it states none.
        step: Width of the steps of the data; 0: none, or unknown.
        step_in: Whether these are steps of the values, or of their dB.
    """

    name: str = ""
    step: float = 0.0
    step_in: Steps = "linear"


@dataclass(frozen=True, eq=False)
class Raster:
    """Colors or measured values, with all that travels with them.

    They change only by `converted` and `rounded`.

    Attributes:
        values: Colors: (H, W, 3), uint8, uint16, or float32 on [0, 1], straight, also of
            transparent pixels; in a `value_range`, any integers, or float32. Measured values:
            (H, W, 1), float32 in `unit`, finite, or NaN where missing.
        profile: The ICC profile of colors; None for sRGB.
        alpha: (H, W), of the type of `values`, 0 transparent to the largest value (of floats 1),
            opaque; None if every pixel is opaque.
        infrared: The channel of a scan that is no color, (H, W), of the same type, or None.
        value_range: The values of black and white, if they are stated; None: those of the type.
        unit: Of measured values; None for colors.
        place: What places a field, or None.
        nodata: What stands for a missing value of a field in its file, and in those of its results;
            None: nothing does.
        declared: The values, in the unit, that are missing because the file says so, and nobody
            else; NaN is one.
        cleared: The number of slightly negative values that were set to 0.
    """

    values: Array
    profile: bytes | None = None
    alpha: Array | None = None
    infrared: Array | None = None
    value_range: Range | None = None
    unit: Unit | None = None
    place: Place | None = None
    nodata: float | None = None
    declared: tuple[float, ...] = ()
    cleared: int = 0

    @property
    def size(self) -> Extent:
        """Height and width."""
        height, width = self.values.shape[:2]
        return height, width

    @property
    def bits(self) -> int:
        """Bits per channel: 8, 16 or 32, which are floats."""
        return 8 * self.values.dtype.itemsize

    @cached_property
    def levels(self) -> Raster:
        """The same with black at 0 and white at the largest value of a type, of floats 1."""
        if self.value_range is None:
            return self
        return replace(self, values=to_levels(self.values, self.value_range), value_range=None)

    def in_range(self, like: Raster) -> Raster:
        """Levels as values of the type and the range of another raster."""
        if like.value_range is None:
            return self
        values = from_levels(self.values, like.value_range, like.values.dtype)
        return replace(self, values=values, value_range=like.value_range)

    def held(self, levels: Pixels) -> Pixels:
        """Levels as a result in this range holds them: the nearest that integers have."""
        if self.value_range is None or self.values.dtype.kind == "f":
            return levels
        values = from_levels(levels, self.value_range, self.values.dtype)
        return to_levels(values, self.value_range)

    def converted(self, profile: bytes | None) -> Raster:
        """The same colors as levels of another profile; None is sRGB."""
        if profile == self.profile:
            return self
        values = convert(self.levels.values, self.profile, profile)
        return replace(self.levels, values=values, profile=profile)

    def rounded(self, bits: int) -> Raster:
        """The same levels with at most so many bits per channel, 8 or 16; a field stays as it
        is."""
        if self.value_range is not None:
            return self.levels.rounded(bits)
        if self.bits <= bits or self.unit is not None:
            return self
        planes = (self.values, self.alpha, self.infrared)
        values, alpha, infrared = (p if p is None else _rounded(p, bits) for p in planes)
        assert values is not None
        return Raster(values, self.profile, alpha, infrared)

    @cached_property
    def seen(self) -> Raster:
        """The raster as models read it: of an image, its values in 8 or 16 bits, converted to sRGB
        unless their profile is that of a display (`is_display`)."""
        is_kept = self.profile is None or is_display(self.profile)
        return (self if is_kept else self.converted(None)).rounded(16)

    @cached_property
    def shown(self) -> Pixels:
        """What the eye sees: its colors in sRGB, uint8 (H, W, 3)."""
        return self.converted(None).rounded(8).values

    def filled(self, *, soften: bool = False) -> Array:
        """`values` with transparent pixels filled by `fill_transparent`."""
        if self.alpha is None:
            return self.values
        return fill_transparent(self.values, self.alpha, soften=soften)


def _rounded(values: Array, bits: int) -> Pixels:
    if values.dtype.kind == "f":
        result = np.empty(values.shape, np.uint16)
        for rows in strips(*values.shape[:2]):
            result[rows] = np.rint(values[rows].clip(0, 1).astype(np.float64) * 65535)
        values = result
    return in_8_bits(values) if bits == 8 else values


def unit_of(raster: Raster) -> Unit:
    """The unit of a measured field."""
    assert raster.unit is not None, "a measured field"
    return raster.unit


@dataclass(frozen=True, eq=False)
class Output:
    """What a file is to hold.

    Attributes:
        image: Its values.
        gray: Whether an image without color is stored in one channel.
        metadata: The EXIF that a result may keep; None if it cannot be read or has more than 64 kB.
        tiff: What a TIFF keeps of a TIFF.
        srgb: The profile of its file, if that is sRGB up to rounding; it is kept byte for byte.
    """

    image: Raster
    gray: bool = False
    metadata: Metadata | None = field(default_factory=dict)
    tiff: TiffParts | None = None
    srgb: bytes | None = None


@dataclass(frozen=True, eq=False)
class Input(Output):
    """What a file or an array holds, and what a result of it keeps.

    Attributes:
        gray: Whether the file stores no color: 1-bit or gray, perhaps with alpha.
        format: Format of the file's content: PNG, JPEG, WEBP, …; empty for an array.
        lossless: Whether the file stores its values without loss.
        frames: Number of frames or pages in the file, without that of infrared; this is the first.
        deep: Whether the file has 16 bits per channel, which were rounded to 8.
        converted: Whether its colors were converted to sRGB, because results cannot have those of
            the file.
        table: The mean of a JPEG's luminance table, else 0.
        unread: What the file says of its colors and is left out, as a clause.
        crop: The part of the file that this is: left, top, width, height; None for all of it.
        most: Of such a part, the largest value of the file; None of all of it.
    """

    format: str = ""
    lossless: bool = True
    frames: int = 1
    deep: bool = False
    converted: bool = False
    table: float = 0.0
    unread: str = ""
    crop: tuple[int, int, int, int] | None = None
    most: int | None = None

    @property
    def note(self) -> str | None:
        """That 16 bits stay below an eighth of their range, which is not stated; else None."""
        image = self.image
        if image.values.dtype != np.uint16 or image.value_range is not None:
            return None
        return low_note(int(image.values.max()) if self.most is None else self.most)

    @property
    def exact(self) -> bool:
        """Whether the image has exactly the values that were written."""
        return self.lossless and self.image.alpha is None

    def in_srgb(self) -> Input:
        """The same file with its colors in sRGB."""
        image = self.image.converted(None).in_range(self.image)
        return replace(self, image=image, converted=True)

    def opaque(self) -> Input:
        """The same file without alpha: transparent pixels are filled by `fill_transparent`."""
        image = replace(self.image, values=self.image.filled(), alpha=None)
        return replace(self, image=image)

    def output(
        self,
        result: Pixels,
        mask: Pixels | None = None,
        *,
        keeps_gray: bool = False,
        unit: str | None = None,
    ) -> Output:
        """What is written of a result, (H, W, 3), that was made from `image.seen`, of its type.

        Alpha and infrared are those of this image, resized by BICUBIC to the result's size. In an
        inpainted image, everything outside the mask is that of this image, visible or not. A result
        of floats is in their color space, and one of a stated range has it, with its type; values
        that are as before are this image's own. A field has the unit, if one is stated, else
        `unit`, and the place of this one, in smaller cells.
        """
        own = self.image
        if own.unit is not None:
            factor = result.shape[0] // own.values.shape[0]
            place = None if own.place is None else own.place.refined(factor)
            stated = Unit(own.unit.name or unit or "")
            made = Raster(result, unit=stated, place=place, nodata=own.nodata)
            return Output(made)
        if own.alpha is not None and mask is not None:
            hidden = (own.alpha == 0) & (mask < HOLE)
            result = np.where(hidden[..., None], own.seen.values, result)
        height, width = result.shape[:2]
        alpha, infrared = (
            plane if plane is None else _of_size(plane, height, width)
            for plane in (own.alpha, own.infrared)
        )
        made = _as_stored(Raster(result, own.seen.profile, alpha, infrared), own)
        tiff = self.tiff
        if tiff is not None and made.size != own.size:
            tiff = tiff.of_another_size()
        return Output(made, self.gray and keeps_gray, self.metadata, tiff, self.srgb)


def _of_size(plane: Array, height: int, width: int) -> Array:
    if plane.shape == (height, width):
        return plane
    resized = resize(plane, height, width)
    return resized.clip(0, 1) if plane.dtype.kind == "f" else resized


def _as_stored(result: Raster, image: Raster) -> Raster:
    """A result as an image has it: of floats in its color space, in its range if that is stated,
    and there with its own values where the result is the image as models see it."""
    is_float = image.values.dtype.kind == "f"
    if not is_float and image.value_range is None:
        return result
    made = result
    if is_float:
        floats = (result.values / np.float32(65535)).astype(np.float32)
        made = replace(result, values=floats).converted(image.profile)
        made = replace(made, values=made.values.clip(0, 1))
    made = made.in_range(image)
    if made.size != image.size or made.profile != image.profile:
        return made
    kept = np.where(result.values == image.seen.values, image.values, made.values)
    return replace(made, values=kept)
