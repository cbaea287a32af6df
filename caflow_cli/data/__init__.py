"""Image sets: pictures, or pairs, of folders, zips and other kinds, as uint8 tensors.

Importing this package imports no torch: whether there is anything at a path is told without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..lazy import on_demand

if TYPE_CHECKING:
    from .address import Address
    from .files import Split
    from .masks import Masks, load_masks
    from .opening import condition_channels, count_pictures
    from .photographs import Photographs, load_photograph_pairs, load_photographs
    from .sets import DamagedError, ImageSet, PairSet, load_pairs, load_split
    from .store import Store
    from .stream import Reader, open_split
    from .streams import endless

_HOMES = {
    "Address": ".address",
    "DamagedError": ".sets",
    "ImageSet": ".sets",
    "Masks": ".masks",
    "PairSet": ".sets",
    "Photographs": ".photographs",
    "Reader": ".stream",
    "Split": ".files",
    "Store": ".store",
    "condition_channels": ".opening",
    "count_pictures": ".opening",
    "endless": ".streams",
    "load_masks": ".masks",
    "load_pairs": ".sets",
    "load_photograph_pairs": ".photographs",
    "load_photographs": ".photographs",
    "load_split": ".sets",
    "open_split": ".stream",
}

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
    "load_photograph_pairs",
    "load_photographs",
    "load_split",
    "open_split",
]


__getattr__ = on_demand(__name__, _HOMES)
