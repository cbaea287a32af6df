"""Masks: their options, how they are read, and which mask belongs to which image."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..config import HOLE
from ..errors import CaflowError, check_usage, usage_error
from ..paths import is_folder
from .options import OUTPUT, option

if TYPE_CHECKING:
    from ..images import Decoded
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
            not (self.invert_mask and detected(self.mask)),
            "--mask auto and --invert-mask cannot be used together",
            "omit --invert-mask",
        )

    def read(self, mask: InputImage | None, image: Decoded, name: str) -> Pixels:
        """Read the mask of an image: uint8 (H, W), white where the image is to be filled.

        Transparent pixels of `mask` count as black. Without a mask, transparent pixels of the image
        are white. The result is extended by `grow` pixels. CaflowError if the mask cannot be read
        or has another size (exit 1), or if it is missing or mostly white (exit 2).
        """
        import numpy as np

        from ..tasks.base import check_mask_size, grey

        if mask is not None and mask.threshold is not None:
            from ..damage import find_damage

            level = find_damage(image, mask.threshold)
        elif mask is not None:
            name = mask.name
            drawn = mask.read()
            level = grey(drawn.rgb)
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
        check_mask_size(level.shape, image.rgb.shape)
        return level


def no_mask(name: str) -> CaflowError:
    """The error for an image that has neither a mask nor transparent pixels."""
    return usage_error(
        f"inpaint needs a mask, because {name!r} is opaque",
        "--mask auto (finds scratches, cracks and dust), --mask FILE (white = fill), or make the "
        "hole transparent in the image",
    )


def detected(mask: str | None) -> bool:
    """Whether `--mask` asks for the damage that is found: `auto` or `auto:THRESHOLD`."""
    return mask is not None and mask.partition(":")[0] == "auto"


def find_masks(mask: str | None, images: Sequence[InputImage]) -> list[InputImage | None]:
    """Find the mask of each image: one for all, or, in a folder, by the image's name.

    The mask of `a.jpg` is `a_jpg_mask`, `a_mask` or, unless the folder is that of the image, `a`;
    input images are never masks. For images found in subfolders, masks are in subfolders of the
    same names. For `auto`, the mask has a threshold. CaflowError (exit 2) if there is no such mask,
    if an image has none, if the threshold is out of range, or if stdin is named twice.
    """
    from .inputs import InputImage, find_inputs  # imported here, because it imports NumPy

    if mask is None:
        return [None] * len(images)
    if detected(mask):
        threshold = math.nan
        with suppress(ValueError):
            threshold = float(mask.partition(":")[2] or 0.5)
        check_usage(0 < threshold < 1, f"--mask is {mask!r}", "--mask auto:0.2, between 0 and 1")
        return [InputImage(mask, Path(), "auto", threshold=threshold)] * len(images)
    one = len(images) == 1 and images[0].name != "-"
    check_usage(one or mask != "-", "stdin holds one image", "give the mask as a file")
    found = find_inputs([mask], recursive=True)
    if not is_folder(mask):
        path = found[0].path
        check_usage(
            path is None or os.path.lexists(path),
            f"no mask {mask!r}",
            "check the path, or use --mask auto",
        )
        check_usage(
            len(found) == 1,
            f"{len(found)} masks match {mask!r}",
            "--mask FILE, or --mask DIR with a mask of each",
        )
        return [found[0]] * len(images)
    own = {os.path.realpath(one.path) for one in images if one.path is not None}
    keys = [  # names to look for, by image, the preferred one first
        [
            (image.inside, stem)
            for stem in (f"{image.full_stem}_mask", f"{image.stem}_mask", image.stem)
            # In the image's own folder, its stem names an image, not a mask.
            if stem != image.stem
            or os.path.realpath(Path(mask, image.inside)) != os.path.realpath(image.folder)
        ]
        for image in images
    ]
    wanted = {key for its in keys for key in its}
    known = by_stem(
        [
            source
            for source in found
            if (source.inside, source.stem) in wanted
            and os.path.realpath(source.path or "") not in own
        ]
    )
    masks = [next((known[key] for key in its if key in known), None) for its in keys]
    missing = [one.name for one, its in zip(images, masks, strict=True) if its is None]
    check_usage(
        not missing,
        f"no mask in {mask!r} for {', '.join(map(repr, missing[:5]))}",
        "name the mask of a.jpg a_mask.png",
    )
    return masks


def by_stem(sources: Sequence[InputImage]) -> dict[tuple[Path, str], InputImage]:
    """Images by subfolder and stem; CaflowError (exit 2) if two have the same stem."""
    found: dict[tuple[Path, str], InputImage] = {}
    for source in sources:
        other = found.setdefault((source.inside, source.stem), source)
        check_usage(
            other is source,
            f"{other.name!r} and {source.name!r} differ only in their suffix",
            "rename one of them",
        )
    return found
