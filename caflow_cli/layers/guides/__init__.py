"""Nets over a whole condition, which say scale and shift of every value of a picture."""

from .sums import Guide
from .unet import UNet

__all__ = ["GUIDES", "Guide", "UNet"]

# By their names in a config.
GUIDES: dict[str, type[Guide] | type[UNet]] = {"sums": Guide, "unet": UNet}
