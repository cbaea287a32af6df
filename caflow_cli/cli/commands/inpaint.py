"""`caflow inpaint`."""

from __future__ import annotations

from .. import options
from ..masking import Masking
from ..options import expanded
from ..restoration_options import Restoration
from ..restore import restore_pictures

__all__ = ["inpaint_command"]


@expanded
def inpaint_command(images: options.Images, given: Restoration, masking: Masking) -> None:
    """Fill the holes of pictures: draw M candidates, rank them by log-likelihood, write the best N.

    `photo.png` becomes `photo_inpaint.png`, with N > 1 `photo_inpaint_01.png` and so on, best
    first. Pictures and holes of any size are taken. The hole is filled window by window: at native
    scale where it is thin, as scratches and spots are. What is thicker is filled from its edges
    inwards, or shrunk, as the model states. Pixels that are not white in the mask are kept bit for
    bit. Without --mask, what is transparent in the picture is the hole, and the result is opaque.

    Example: caflow inpaint photo.png --mask hole.png
    """
    restore_pictures("inpaint", images, given, masking)
