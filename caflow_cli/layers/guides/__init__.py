"""Guides: nets that compute scale and shift of every value from the whole condition."""

from .sums import Guide
from .unet import UNet

__all__ = ["GUIDES", "Guide", "UNet"]

# By their names in a config.
GUIDES: dict[str, type[Guide] | type[UNet]] = {"sums": Guide, "unet": UNet}
