"""Image sets: pictures, or pairs, of folders, zips and other kinds, as uint8 tensors."""

from .address import Address
from .files import Split
from .masks import Masks, load_masks
from .opening import condition_channels, count_pictures
from .photographs import Photographs, load_photographs
from .sets import DamagedError, ImageSet, PairSet, load_pairs, load_split
from .store import Store
from .stream import Reader, open_split
from .streams import endless

__all__ = [
    "Address",
    "DamagedError",
    "ImageSet",
    "Masks",
    "PairSet",
    "Photographs",
    "Reader",
    "Split",
    "Store",
    "condition_channels",
    "count_pictures",
    "endless",
    "load_masks",
    "load_pairs",
    "load_photographs",
    "load_split",
    "open_split",
]
