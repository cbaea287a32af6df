"""`caflow colorize`."""

from __future__ import annotations

from .. import options
from ..options import expanded
from ..restoration_options import Restoration
from ..restore import restore_pictures

__all__ = ["colorize_command"]


@expanded
def colorize_command(images: options.Images, given: Restoration) -> None:
    """Colour grey pictures: draw M candidates, rank them by log-likelihood, write the best N.

    `old.png` becomes `old_colorize.png`, with N > 1 `old_colorize_01.png` and so on, best first.
    Pictures of any size are taken. Colour is made at the model's scale, and the luminance of the
    input is kept exactly. A coloured picture is turned grey first.

    Example: caflow colorize old.png -m 10 -n 3
    """
    restore_pictures("colorize", images, given)
