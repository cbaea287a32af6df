"""Masks: their options, how they are read, and which mask belongs to which image."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..config import HOLE, MOST_FILLED
from ..errors import CaflowError, check_usage, ensure, usage_error
from .companions import is_detected
from .options import OUTPUT, option

if TYPE_CHECKING:
    from ..damage.find import Progress
    from ..images import Input, Pixels
    from .inputs import InputImage

LOW = 0.2  # threshold of detection to try if nothing is found
_PAINT = "paint a mask, and give it by --mask FILE"


def _once(mask: str | None) -> str | None:
    """Raise CaflowError (exit 2) for two masks, of which only the last would count."""
    typed = [word for word in sys.argv if word.partition("=")[0] == "--mask"]
    check_usage(len(typed) < 2, "--mask is given twice", "--mask FILE, or --mask DIR")
    return mask


@dataclass(frozen=True, kw_only=True)
class Masking:
    """The mask options; each field is the option of the same name."""

    mask: str | None = option(
        "--mask FILE|DIR|auto[:T]|ir[:K]",
        "Mask of the same size as the image, white where to fill. One file for all images, a "
        "folder of masks named like the images; auto: the damage that `caflow mask` finds, with "
        "--threshold T (default 0.5); or ir: the dust that infrared shows in a scan of color film, "
        "darker by K deviations (default 4.5). Without it, inpaint fills transparent pixels.",
        callback=_once,
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
            f"--mask {self.mask} and --invert-mask cannot be used together",
            "omit --invert-mask",
        )

    def read(self, mask: InputImage | None, image: Input, source: InputImage) -> Pixels:
        """Read the mask of the image of `source`: uint8 (H, W), white where it is to be filled.

        Transparent pixels of `mask` count as black. Without a mask, transparent pixels of the image
        are white. The result is extended by `grow` pixels. CaflowError if the mask cannot be read
        or has another size (exit 1), or if it is missing or mostly white (exit 2).
        """
        from ..tasks.base import check_same_size

        name = source.name if mask is None or mask.threshold is not None else mask.name
        level = _level(mask, image, source)
        if self.invert_mask:
            level = 255 - level
        if self.grow:
            from scipy.ndimage import maximum_filter

            level = maximum_filter(level, 2 * self.grow + 1)
        share = float((level >= HOLE).mean())
        other = "omit --invert-mask" if self.invert_mask else "--invert-mask"
        if self.mask is not None and is_detected("mask", self.mask):
            other = f"a higher threshold, --mask {self.mask.partition(':')[0]}:T"
        check_usage(
            share <= MOST_FILLED or self.mask_as_is,
            f"{name!r} marks {share:.0%} of the image to be filled",
            f"{other}, or --mask-as-is",
        )
        check_same_size("the mask is", level.shape, image.image.size)
        return level


def _level(mask: InputImage | None, image: Input, source: InputImage) -> Pixels:
    """The mask of an image as it is stored or found, or its transparent part."""
    import numpy as np

    from ..images import white
    from ..restoration.arguments import drawn_mask

    if mask is None:
        alpha = image.image.alpha
        if alpha is None:
            raise no_mask(source.name)
        return np.where(alpha < white(alpha), np.uint8(255), np.uint8(0))
    if mask.threshold is not None:
        return found(mask.stem, mask.threshold, image, source)
    drawn = mask.read().image
    if drawn.shown.max() <= 1 and drawn.bits < 32:  # 16 bits may hold values of 8, or 0 and 1
        stored = drawn.values
        most, half = int(stored.max()), white(stored) // 2 + 1
        ensure(
            most == 0,
            f"the mask {mask.name!r} holds only 0 to {most}, and {half} and above is filled",
            f"multiply its values by {white(stored) // max(1, most)}",
        )
    return drawn_mask(drawn)


def found(
    way: str,
    threshold: float,
    image: Input,
    source: InputImage,
    step: Progress = lambda done, total: None,
) -> Pixels:
    """The mask of the damage that is found: by the network (`auto`), or by infrared (`ir`)."""
    if way == "auto":
        from ..damage import find_damage

        return find_damage(image, threshold, step)

    from ..damage.infrared import infrared_mask, read_infrared

    if source.path is None:
        raise usage_error("the infrared channel of stdin is not read", "give the scan as a file")
    infrared = read_infrared(image.image, source.path, source.name)
    return infrared_mask(image.image.values, infrared, threshold)


def marked(mask: Pixels) -> str:
    """What is said of a mask that marks something."""
    from scipy.ndimage import label

    spots = label(mask >= HOLE, [[1] * 3] * 3)[1]
    return f"{100 * (mask >= HOLE).mean():.2f} % is marked, in {spots} spot{'s' * (spots != 1)}"


def find_more(way: str, threshold: float, image: Input, option: str) -> str:
    """What to do if nothing was found: lower the threshold if that helps, else paint a mask."""
    if way == "ir":
        return f"{option}3 may find more" if threshold > 3 else _PAINT
    from ..damage import find_damage

    helps = threshold > LOW and find_damage(image, LOW).any()
    return f"{option}{LOW} finds more" if helps else _PAINT


def no_mask(name: str) -> CaflowError:
    """The error for an image that has neither a mask nor transparent pixels."""
    return usage_error(
        f"inpaint needs a mask, because {name!r} is opaque",
        "--mask auto (finds scratches, cracks and dust), --mask FILE (white = fill), or make the "
        "hole transparent in the image",
    )
