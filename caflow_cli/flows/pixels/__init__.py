"""The first map of a flow of images: from pixels on [0, 256) to the real line."""

from .anchor import Anchor, AnchorCondition
from .known import FilledPixels, KnownImage, KnownLuminance, KnownPixels
from .logit import Logit

__all__ = [
    "Anchor",
    "AnchorCondition",
    "FilledPixels",
    "KnownImage",
    "KnownLuminance",
    "KnownPixels",
    "Logit",
]
