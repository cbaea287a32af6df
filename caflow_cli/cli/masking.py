"""Masks of pictures: the options that name them, how they are read, and what is no mask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import EXIT_USAGE, CaflowError
from . import options

if TYPE_CHECKING:
    from ..images import Decoded
    from ..tasks import Picture
    from .inputs import InputPicture

__all__ = ["Masking", "hole_in_alpha"]

_MOST = 0.5  # of a picture that a hole takes, if it is not the mask that is inverted
_COLOUR = 24  # levels between the channels of a grey picture, at most: JPEG makes a few
_STAINS = 0.02  # share of coloured pixels that a mask may have
_NEEDED = "--mask FILE, white = fill; or make the hole transparent in the picture"


@dataclass(frozen=True, kw_only=True)
class Masking:
    """The options; each field is one, of the same name."""

    mask: Annotated[
        str | None,
        typer.Option(
            "--mask",
            metavar="FILE|DIR",
            help="Mask of the same size as the picture, white where it is to be filled. One file "
            "for all pictures, or a folder with a mask of each picture's name, whatever its "
            "suffix. Without it, inpaint fills what is transparent in the picture.",
            rich_help_panel=options.OUTPUT,
        ),
    ] = None
    invert_mask: Annotated[
        bool,
        typer.Option(
            "--invert-mask",
            help="Fill what is black in the mask.",
            rich_help_panel=options.OUTPUT,
        ),
    ] = False
    mask_as_is: Annotated[
        bool,
        typer.Option(
            "--mask-as-is",
            help="Take a mask also if most of it is to be filled, or if it is coloured.",
            rich_help_panel=options.OUTPUT,
        ),
    ] = False

    def read(self, mask: InputPicture) -> Picture:
        """Read a mask as grey, uint8 (H, W), transparent parts as black.

        Raises:
            CaflowError: It cannot be read (exit 1); it is a coloured picture, or most of it is to
                be filled (exit 2).
        """
        import numpy as np

        from ..tasks.base import grey

        picture = mask.read()
        coloured = np.ptp(picture.rgb, axis=-1) > _COLOUR
        if coloured.mean() > _STAINS and not self.mask_as_is:
            raise CaflowError(
                f"{mask.name!r} is a coloured picture, not a mask",
                f"{_NEEDED}; --mask-as-is takes its grey"
                if picture.alpha is None
                else "leave --mask out and give this picture itself, if its hole is transparent; "
                "--mask-as-is takes its grey",
                EXIT_USAGE,
            )
        level = grey(picture.rgb)
        if picture.alpha is not None:
            level = np.where(picture.alpha < 128, np.uint8(0), level)
        level = 255 - level if self.invert_mask else level
        return self._plausible(level, mask.name)

    def read_alpha(self, picture: Decoded, name: str) -> Picture:
        """The hole that is transparent in a picture, as a mask.

        Raises:
            CaflowError: (exit 2) there is none, or it is most of the picture.
        """
        if picture.alpha is None:
            raise CaflowError(f"inpaint needs a mask, for {name!r} is opaque", _NEEDED, EXIT_USAGE)
        hole = hole_in_alpha(picture)
        return self._plausible(255 - hole if self.invert_mask else hole, name)

    def _plausible(self, mask: Picture, name: str) -> Picture:
        """The mask. CaflowError (exit 2) if it is probably inverted."""
        share = float((mask >= 128).mean())
        if share > _MOST and not self.mask_as_is:
            other = "without --invert-mask" if self.invert_mask else "--invert-mask"
            raise CaflowError(
                f"{name!r} says that {share:.0%} of the picture are to be filled",
                f"{other} if it is the other way round, --mask-as-is if not",
                EXIT_USAGE,
            )
        return mask


def hole_in_alpha(picture: Decoded) -> Picture:
    """White where a picture is not opaque: uint8 (H, W)."""
    import numpy as np

    assert picture.alpha is not None
    return np.where(picture.alpha < 255, np.uint8(255), np.uint8(0))
