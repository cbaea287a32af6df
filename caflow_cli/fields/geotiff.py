"""The tags that place a GeoTIFF whose rows go from north to south."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from ..errors import CaflowError

if TYPE_CHECKING:
    import tifffile

Tag: TypeAlias = tuple[int, int, int, Any]  # code, type, number of values, and value

_CELL, _TIEPOINTS, _MATRIX = 33550, 33922, 34264  # ModelPixelScale, ModelTiepoint, …Transformation
_KEYS = (34735, 34736, 34737)  # directory, numbers and texts of the coordinate system
_RPC = 50844
_IS_POINT = (1025, 0, 1, 2)  # in the directory: coordinates are those of centers of cells
_DOUBLE = 12
_UPRIGHT = "gdalwarp {0} upright.tif"


@dataclass(frozen=True)
class GeoTags:
    """A place on a map: a corner, a cell, and the coordinate system.

    Attributes:
        corner: x and y of the outer corner of the first cell, the most north-western.
        cell: Width and height of a cell.
        keys: Tags of the coordinate system, as stored.
        is_point: Whether tags give the center of the first cell, not its corner.
    """

    corner: tuple[float, float]
    cell: tuple[float, float]
    keys: tuple[Tag, ...] = ()
    is_point: bool = False

    def refined(self, factor: int) -> GeoTags:
        """The same area in `factor` times as many rows and columns."""
        width, height = self.cell
        return replace(self, cell=(width / factor, height / factor))

    def tags(self) -> list[Tag]:
        """The tags of a file."""
        x, y = self.corner
        width, height = self.cell
        if self.is_point:
            x += width / 2
            y -= height / 2
        tie = (0.0, 0.0, 0.0, x, y, 0.0)
        return [
            (_CELL, _DOUBLE, 3, (width, height, 0.0)),
            (_TIEPOINTS, _DOUBLE, 6, tie),
            *self.keys,
        ]


def read_tags(page: tifffile.TiffPage, label: str) -> GeoTags | None:
    """The place of a page; None if no tag states one.

    Raises:
        CaflowError: (exit 1) it is rotated, not north-up, or given by ground control points or
            rational polynomials.
    """
    cell, ties, matrix, rpc = map(page.tags.valueof, (_CELL, _TIEPOINTS, _MATRIX, _RPC))
    _refuse(rpc is not None, label, "by rational polynomials (RPC)")
    keys = tuple(
        (tag.code, int(tag.dtype), tag.count, tag.value)
        for tag in map(page.tags.get, _KEYS)
        if tag is not None
    )
    place = _place(cell, ties, matrix, label)
    if place is None:
        return None
    left, top, width, height = place
    _refuse(not (width > 0 and height > 0), label, "with rows or columns that are not north-up")
    is_point = _is_point(keys)
    if is_point:
        left -= width / 2
        top += height / 2
    return GeoTags((left, top), (width, height), keys, is_point)


def _place(cell: Any, ties: Any, matrix: Any, label: str) -> tuple[float, ...] | None:
    """The left and upper ends of the first cell, or its center, and its width and height."""
    if matrix is not None:
        rows = [matrix[k : k + 4] for k in range(0, 16, 4)]
        _refuse(bool(rows[0][1] or rows[1][0]), label, "with a rotation")
        return rows[0][3], rows[1][3], rows[0][0], -rows[1][1]
    by_points = "by ground control points (GCP)"
    if cell is None or ties is None:
        _refuse(ties is not None, label, by_points)
        return None
    _refuse(len(ties) != 6, label, by_points)
    column, row, _, x, y, _ = ties
    return x - column * cell[0], y + row * cell[1], cell[0], cell[1]


def _refuse(is_so: bool, label: str, how: str) -> None:
    if is_so:
        hint = _UPRIGHT.format(label)
        raise CaflowError(f"{label!r} is placed {how}, which is not supported", hint)


def _is_point(keys: tuple[Tag, ...]) -> bool:
    directory = next((value for code, *_, value in keys if code == _KEYS[0]), ())
    return any(tuple(directory[k : k + 4]) == _IS_POINT for k in range(4, len(directory), 4))
