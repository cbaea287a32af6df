"""`caflow colorize`."""

from __future__ import annotations

from . import options
from .restoration import restore_pictures

__all__ = ["colorize_command"]


@options.expanded
def colorize_command(images: options.Images, given: options.Restoration) -> None:
    """Colour grey pictures: draw M candidates, rank them by log-likelihood, write the best N.

    `old.png` becomes `old_colorize.png`, with N > 1 `old_colorize_01.png` and so on, best first.
    Any size is taken: colour is made at the model's scale, the luminance of the input is kept
    exactly. Of a coloured picture the grey is taken.

    Example: caflow colorize old.png -m 10 -n 3
    """
    restore_pictures("colorize", images, given)
