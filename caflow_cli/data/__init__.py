"""Image sets: folders and zips of pictures, or of pairs, as uint8 tensors."""

from .files import Split, condition_channels, count_pictures
from .masks import Masks, load_masks
from .photographs import Photographs, load_photographs
from .sets import DamagedError, ImageSet, PairSet, load_pairs, load_split
from .store import Store
from .stream import Reader, open_split

__all__ = [
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
    "load_masks",
    "load_pairs",
    "load_photographs",
    "load_split",
    "open_split",
]
