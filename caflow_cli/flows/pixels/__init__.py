"""The first step of a flow of pictures: from pixels on [0, 256) to the real line."""

from .anchor import Anchor, AnchorCondition
from .filled_pixels import FilledPixels
from .known_luminance import KnownLuminance
from .known_picture import KnownPicture
from .known_pixels import KnownPixels
from .logit import Logit

__all__ = [
    "Anchor",
    "AnchorCondition",
    "FilledPixels",
    "KnownLuminance",
    "KnownPicture",
    "KnownPixels",
    "Logit",
]
