"""The tags that place a GeoTIFF."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from ..errors import ensure
from ..images.profile import Array

if TYPE_CHECKING:
    import tifffile

Tag: TypeAlias = tuple[int, int, int, Any]  # code, type, number of values, and value

_CELL, _TIEPOINTS, _MATRIX = 33550, 33922, 34264  # ModelPixelScale, ModelTiepoint, …Transformation
_KEYS = (34735, 34736, 34737)  # directory, numbers and texts of the coordinate system
_RPC = 50844
_DOUBLE = 12
_IS_POINT = (1025, 0, 1, 2)  # in the directory: the centers of cells have whole numbers


@dataclass(frozen=True, eq=False)
class GeoTags:
    """A place on a map: how columns and rows become coordinates, and of which system.

    Attributes:
        place: The numbers of the tags that say how, by their codes.
        keys: Tags of the coordinate system, as stored.
    """

    place: Mapping[int, Array]
    keys: Sequence[Tag]

    def refined(self, factor: int) -> GeoTags:
        """The same area in `factor` times as many rows and columns.

        Column i becomes column `factor * i`; where i is the center of a cell, half of the other
        new cells of that one lie before it.
        """
        directory = next((value for code, *_, value in self.keys if code == _KEYS[0]), ())
        entries = [tuple(directory[k : k + 4]) for k in range(4, len(directory), 4)]
        before = (factor - 1) / 2 if _IS_POINT in entries else 0.0
        place = {code: numbers.copy() for code, numbers in self.place.items()}
        if _CELL in place:
            place[_CELL][:2] /= factor
        if _TIEPOINTS in place:  # six each: column, row, depth, x, y, z
            points = place[_TIEPOINTS].reshape(-1, 6)
            points[:, :2] = factor * points[:, :2] + before
        if _MATRIX in place:
            matrix = place[_MATRIX].reshape(4, 4)
            matrix[:, :2] /= factor
            matrix[:, 3] -= before * matrix[:, :2].sum(1)
        return GeoTags(place, self.keys)

    def cut(self, rows: slice, columns: slice) -> GeoTags:
        """The place of a part."""
        left, top = columns.start, rows.start
        place = {code: numbers.copy() for code, numbers in self.place.items()}
        if _TIEPOINTS in place:
            place[_TIEPOINTS].reshape(-1, 6)[:, :2] -= left, top
        if _MATRIX in place:
            matrix = place[_MATRIX].reshape(4, 4)
            matrix[:, 3] += left * matrix[:, 0] + top * matrix[:, 1]
        return GeoTags(place, self.keys)

    def tags(self) -> list[Tag]:
        """The tags of a file."""
        of_place = self.place.items()
        return [
            *((code, _DOUBLE, len(numbers), tuple(numbers.tolist())) for code, numbers in of_place),
            *self.keys,
        ]


def read_tags(page: tifffile.TiffPage, label: str) -> GeoTags | None:
    """The place of a page; None if no tag states one. Any exception means that it is damaged.

    Raises:
        CaflowError: (exit 1) it is given by rational polynomials.
    """
    ensure(
        _RPC not in page.tags,
        f"{label!r} is placed by rational polynomials (RPC), which is not supported",
        f"gdalwarp {label} upright.tif",
    )
    if _TIEPOINTS not in page.tags and _MATRIX not in page.tags:
        return None
    codes = (_CELL, _TIEPOINTS, _MATRIX)
    place = {code: np.array(page.tags[code].value, float) for code in codes if code in page.tags}
    keys = [page.tags[code] for code in _KEYS if code in page.tags]
    found = GeoTags(place, [(tag.code, int(tag.dtype), tag.count, tag.value) for tag in keys])
    return found.refined(1)  # which fails for tags of other lengths
