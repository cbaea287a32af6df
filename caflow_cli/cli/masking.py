"""Masks: their options, how they are read, and which mask belongs to which image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..config import HOLE
from ..errors import CaflowError, check_usage, usage_error
from .companions import is_detected
from .options import OUTPUT, option

if TYPE_CHECKING:
    from ..images import Input
    from ..tasks import Pixels
    from .inputs import InputImage

LOW = 0.2  # threshold of detection to try if nothing is found
_MOST = 0.5  # maximum share of the hole; above it, the mask is probably inverted


@dataclass(frozen=True, kw_only=True)
class Masking:
    """The mask options; each field is the option of the same name."""

    mask: str | None = option(
        "--mask FILE|DIR|auto[:T]",
        "Mask of the same size as the image, white where to fill. One file for all images, a "
        "folder of masks named like the images, or auto: the damage that `caflow mask` finds, "
        "with --threshold T (default 0.5). Without it, inpaint fills transparent pixels.",
    )
    grow: int = option(
        "--grow N",
        "Extend the mask by N pixels in each direction, so that edges of an object are filled, "
        "too. The extended mask is the one that counts.",
        default=0,
        min=0,
        max=1000,
    )
    invert_mask: bool = option("--invert-mask", "Fill where the mask is black.", OUTPUT)
    mask_as_is: bool = option("--mask-as-is", "Accept a mostly white mask.", OUTPUT)

    def __post_init__(self) -> None:
        check_usage(
            not (self.invert_mask and is_detected("mask", self.mask)),
            "--mask auto and --invert-mask cannot be used together",
            "omit --invert-mask",
        )

    def read(self, mask: InputImage | None, image: Input, name: str) -> Pixels:
        """Read the mask of an image: uint8 (H, W), white where the image is to be filled.

        Transparent pixels of `mask` count as black. Without a mask, transparent pixels of the image
        are white. The result is extended by `grow` pixels. CaflowError if the mask cannot be read
        or has another size (exit 1), or if it is missing or mostly white (exit 2).
        """
        import numpy as np

        from ..tasks.base import check_same_size, gray

        if mask is not None and mask.threshold is not None:
            from ..damage import find_damage

            level = find_damage(image, mask.threshold)
        elif mask is not None:
            name = mask.name
            drawn = mask.read()
            level = gray(drawn.rgb)
            if drawn.alpha is not None:
                level = np.where(drawn.alpha < HOLE, np.uint8(0), level)
        elif image.alpha is not None:
            level = np.where(image.alpha < 255, np.uint8(255), np.uint8(0))
        else:
            raise no_mask(name)
        if self.invert_mask:
            level = 255 - level
        if self.grow:
            from scipy.ndimage import maximum_filter

            level = maximum_filter(level, 2 * self.grow + 1)
        share = float((level >= HOLE).mean())
        check_usage(
            share <= _MOST or self.mask_as_is,
            f"{name!r} marks {share:.0%} of the image to be filled",
            f"{'omit --invert-mask' if self.invert_mask else '--invert-mask'}, or --mask-as-is",
        )
        check_same_size("the mask is", level.shape, image.rgb.shape)
        return level


def no_mask(name: str) -> CaflowError:
    """The error for an image that has neither a mask nor transparent pixels."""
    return usage_error(
        f"inpaint needs a mask, because {name!r} is opaque",
        "--mask auto (finds scratches, cracks and dust), --mask FILE (white = fill), or make the "
        "hole transparent in the image",
    )
