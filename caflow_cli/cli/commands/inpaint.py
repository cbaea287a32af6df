"""`caflow inpaint`."""

from __future__ import annotations

from ...config import FILLS
from .. import options
from ..fill import fill_pictures
from ..option_groups import expanded
from ..restoration_options import Restoration
from ..restore import restore_pictures

__all__ = ["inpaint_command"]


@expanded
def inpaint_command(images: options.Images, given: Restoration, mask: options.Mask = None) -> None:
    """Fill the holes of pictures: draw M candidates, rank them by log-likelihood, write the best N.

    `photo.png` becomes `photo_inpaint.png`, with N > 1 `photo_inpaint_01.png` and so on, best
    first. Pictures and holes of any size are taken. The hole is filled window by window: at native
    scale where it is thin, as scratches and spots are; only what is thicker is shrunk. Pixels that
    are not white in the mask are kept bit for bit.

    For comparison, --model telea and --model navier-stokes are OpenCV's fills: one result, without
    a likelihood.

    Example: caflow inpaint photo.png --mask hole.png
    """
    if given.model in FILLS:
        fill_pictures(images, given, mask)
    else:
        restore_pictures("inpaint", images, given, mask)
