"""What an image file holds, and what is to be written."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from ..config import HOLE
from .color import Pixels, applied, fill_transparent, in_8_bits, in_srgb, resize
from .deep import TiffParts
from .metadata import Metadata
from .profile import is_kept, is_of_grays


@dataclass(frozen=True, eq=False)
class Output:
    """What a file is to hold.

    Attributes:
        rgb: uint8 or uint16 (H, W, 3): straight colors, also of transparent pixels.
        alpha: (H, W), of the type of `rgb`, 0 transparent to 255 or 65,535 opaque; None if every
            pixel is opaque.
        gray: Whether an image without color is stored in one channel.
        metadata: The EXIF that a result may keep; None if it cannot be read or has more than 64 kB.
        profile: The ICC profile of `rgb`; None for sRGB.
        tiff: What a TIFF keeps of a TIFF.
    """

    rgb: Pixels
    alpha: Pixels | None = None
    gray: bool = False
    metadata: Metadata | None = field(default_factory=dict)
    profile: bytes | None = None
    tiff: TiffParts | None = None

    @property
    def depth(self) -> int:
        """Bits per channel: 8 or 16."""
        return 8 * self.rgb.dtype.itemsize

    def shown(self) -> Pixels:
        """`rgb` as 8-bit sRGB, for the eye."""
        return in_srgb(self.rgb, self.profile)


@dataclass(frozen=True, eq=False)
class Input(Output):
    """What a file or an array holds, and what a result of it keeps.

    Attributes:
        gray: Whether the file stores no color: 1-bit or gray, perhaps with alpha.
        format: Format of the file's content: PNG, JPEG, WEBP, …; empty for an array.
        lossless: Whether the file stores its values without loss.
        frames: Number of frames or pages in the file; this is the first.
        deep: Whether the file has 16 bits per channel, which were rounded to 8.
        converted: Whether a profile was applied, so that values are not those of the file.
        table: The mean of a JPEG's luminance table, else 0.
    """

    format: str = ""
    lossless: bool = True
    frames: int = 1
    deep: bool = False
    converted: bool = False
    table: float = 0.0

    @property
    def exact(self) -> bool:
        """Whether the image has exactly the values that were written."""
        return self.lossless and self.alpha is None

    def flattened(self, *, soften: bool = False) -> Pixels:
        """`rgb` with transparent pixels filled by `fill_transparent`."""
        if self.alpha is None:
            return self.rgb
        return fill_transparent(self.rgb, self.alpha, soften=soften)

    def opaque(self) -> Input:
        """The same image without alpha: transparent pixels are filled by `fill_transparent`."""
        return replace(self, rgb=self.flattened(), alpha=None)

    @property
    def has_gray_profile(self) -> bool:
        """Whether its profile is of grays, so that no result in color can have it."""
        return self.profile is not None and is_kept("L", self.profile)

    def in_8_bits(self) -> Input:
        """The same image, rounded to 8 bits."""
        alpha = None if self.alpha is None else in_8_bits(self.alpha)
        return replace(self, rgb=in_8_bits(self.rgb), alpha=alpha)

    def in_srgb(self) -> Input:
        """The same image with sRGB colors, at its own depth."""
        if self.profile is None:
            return self
        rgb = applied(self.rgb, self.profile)
        return replace(self, rgb=rgb, profile=None, converted=True)

    def output(
        self, result: Pixels, mask: Pixels | None = None, *, keeps_gray: bool = False
    ) -> Output:
        """What is written of a result, (H, W, 3), that was made from this image, of its type.

        Alpha and infrared are those of this image, resized by BICUBIC to the result's size. In an
        inpainted image, everything outside the mask is that of this image, visible or not. Of an
        image of floats, values that are as before are its own.
        """
        alpha = self.alpha
        if alpha is not None:
            if mask is not None:
                hidden = (alpha == 0) & (mask < HOLE)
                result = np.where(hidden[..., None], self.rgb, result)
            if alpha.shape != result.shape[:2]:
                alpha = resize(alpha, *result.shape[:2])
        tiff = self.tiff
        if tiff is not None:
            if not keeps_gray and is_of_grays(tiff.profile):  # which holds no colors
                tiff = replace(tiff, profile=None)
            tiff = tiff.of_result(result, self.rgb, self.converted)
        gray = self.gray and keeps_gray
        return Output(result, alpha, gray, self.metadata, self.profile, tiff)
