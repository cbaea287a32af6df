"""Image sets: folders and zips of pictures, or of pairs, as uint8 tensors."""

from .sets import ImageSet, PairSet, load_pairs, load_split
from .source import Split, condition_channels, count_pictures
from .store import Store

__all__ = [
    "ImageSet",
    "PairSet",
    "Split",
    "Store",
    "condition_channels",
    "count_pictures",
    "load_pairs",
    "load_split",
]
