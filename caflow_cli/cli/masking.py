"""Masks: the options that name them, how they are read, and which belongs to which image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import usage_error
from ..paths import exists, is_folder
from .options import OUTPUT, option

if TYPE_CHECKING:
    from ..images import Decoded
    from ..tasks import Pixels
    from .inputs import InputImage

__all__ = ["Masking", "by_stem", "find_masks", "hole_in_alpha", "named"]

_MOST = 0.5  # share of an image that a hole takes, unless the mask is inverted
_COLOR = 24  # levels between the channels of a grey image, at most: JPEG makes a few
_STAINS = 0.02  # share of colored pixels that a mask may have
_NEEDED = "--mask FILE, white = fill; or make the hole transparent in the image"


@dataclass(frozen=True, kw_only=True)
class Masking:
    """The options; each field is one, of the same name."""

    mask: str | None = option(
        "--mask FILE|DIR",
        "Mask of the image's size, white where it is to be filled. One file for all images, or a "
        "folder with a mask of each image's stem. Without it, inpaint fills what is transparent.",
        OUTPUT,
    )
    invert_mask: bool = option("--invert-mask", "Fill what is black in the mask.", OUTPUT)
    mask_as_is: bool = option("--mask-as-is", "Accept a mostly white or colored mask.", OUTPUT)

    def read(self, mask: InputImage) -> Pixels:
        """Read a mask as grey, uint8 (H, W), transparent parts as black.

        Raises:
            CaflowError: It cannot be read (exit 1); it is a color image, or mostly white (exit 2).
        """
        import numpy as np

        from ..tasks.base import grey

        image = mask.read()
        colored = np.ptp(image.rgb, axis=-1) > _COLOR
        if colored.mean() > _STAINS and not self.mask_as_is:
            hint = "leave --mask out and give this image itself, if its hole is transparent"
            raise usage_error(
                f"{mask.name!r} is a color image, not a mask",
                f"{_NEEDED if image.alpha is None else hint}; --mask-as-is takes its grey",
            )
        level = grey(image.rgb)
        if image.alpha is not None:
            level = np.where(image.alpha < 128, np.uint8(0), level)
        return self._plausible(level, mask.name)

    def read_alpha(self, image: Decoded, name: str) -> Pixels:
        """The hole that is transparent in an image, as a mask.

        Raises:
            CaflowError: (exit 2) there is none, or it is most of the image.
        """
        if image.alpha is None:
            raise usage_error(f"inpaint needs a mask, for {name!r} is opaque", _NEEDED)
        return self._plausible(hole_in_alpha(image), name)

    def _plausible(self, mask: Pixels, name: str) -> Pixels:
        """The mask, inverted if that is asked for. CaflowError (exit 2) if it is mostly white."""
        mask = 255 - mask if self.invert_mask else mask
        share = float((mask >= 128).mean())
        if share > _MOST and not self.mask_as_is:
            other = "without --invert-mask" if self.invert_mask else "--invert-mask"
            raise usage_error(
                f"{name!r} marks {share:.0%} of the image to be filled",
                f"{other} if it is the other way round, --mask-as-is if not",
            )
        return mask


def hole_in_alpha(image: Decoded) -> Pixels:
    """White where an image is not opaque: uint8 (H, W)."""
    import numpy as np

    assert image.alpha is not None
    return np.where(image.alpha < 255, np.uint8(255), np.uint8(0))


_Stem = tuple[Path, str]  # the subfolder of an image, and its stem


def find_masks(mask: str | None, images: Sequence[InputImage]) -> list[InputImage | None]:
    """The mask of each image: one file for all, or a folder with a mask of each image's stem.

    Images found in subfolders have their masks in subfolders of the same names.

    Args:
        mask: As typed; None: there are no masks.
        images: In order.

    Raises:
        CaflowError: (exit 2) there is no such mask, the folder lacks one or has two for an image,
            or stdin is named twice.
    """
    from .inputs import find_inputs

    if mask is None:
        return [None] * len(images)
    if mask == "-" and (len(images) > 1 or any(one.name == "-" for one in images)):
        raise usage_error("stdin holds one image", "name the mask's file")
    if is_folder(mask):
        known = by_stem(find_inputs([mask], recursive=True).sources)
        missing = [one for one in images if (one.inside, one.stem) not in known]
        if missing:
            first = Path(mask) / missing[0].inside / f"{missing[0].stem}.png"
            raise usage_error(
                f"no mask in {mask!r} for {named(missing)}",
                f"{first}, white where the image is filled",
            )
        return [known[one.inside, one.stem] for one in images]
    found = find_inputs([mask]).sources[0]
    if found.path is not None and not exists(found.path):
        raise usage_error(f"no mask {mask!r}", "check the path for a typing error")
    return [found] * len(images)


def by_stem(sources: Sequence[InputImage]) -> dict[_Stem, InputImage]:
    """Images by subfolder and stem. CaflowError (exit 2) if two have one stem."""
    found: dict[_Stem, InputImage] = {}
    for source in sources:
        other = found.setdefault((source.inside, source.stem), source)
        if other is not source:
            raise usage_error(
                f"{other.name!r} and {source.name!r} differ only in their suffix",
                "give images of a folder names that differ in more than the suffix",
            )
    return found


def named(sources: Sequence[InputImage]) -> str:
    """The names; if there are many, only the first ones."""
    names = ", ".join(repr(source.name) for source in sources[:5])
    return names if len(sources) <= 5 else f"{names} and {len(sources) - 5} more"
