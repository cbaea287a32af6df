"""TIFF files of one band, read by `tifffile`."""

from __future__ import annotations

import io
import json
import math
from typing import TYPE_CHECKING, Any

from ..errors import CaflowError, ensure
from .values import Array, Field, Steps, checked_values

if TYPE_CHECKING:
    import tifffile

_REDUCED = 1  # NewSubfileType: a smaller copy of another page
NODATA = 42113


def read_tiff(data: bytes, label: str, nodata: float | None) -> Field:
    """Read a TIFF of one band; arguments and errors as for `read_field`."""
    import tifffile

    with tifffile.TiffFile(io.BytesIO(data)) as file:
        pages = [page for page in file.pages if not page.aspage().subfiletype & _REDUCED]
        page = file.pages.first
        bands = len(pages) * page.samplesperpixel
        ensure(
            bands == 1 and page.imagedepth == 1,
            f"{label!r} has {bands} bands, and a field has one",
            f"gdal_translate -b 1 {label} band.tif",
        )
        stored = _stored(page, label)
        described = _described(page)
        declared = _number(page.tags.valueof(NODATA))
    values = checked_values(stored, declared, nodata, label)
    missing = declared if declared is not None else nodata
    return Field(
        values,
        str(described.get("unit", "")),
        float(described.get("step", 0)),
        _steps_in(described),
        nodata=math.nan if missing is None else missing,
    )


def _stored(page: tifffile.TiffPage, label: str) -> Array:
    ensure(
        page.dtype is not None and page.dtype.kind in "iuf",
        f"{label!r} holds no real numbers",
        "save it as float32",
    )
    try:
        return page.asarray(maxworkers=1).reshape(page.imagelength, page.imagewidth)
    except ValueError as error:
        if "imagecodecs" in str(error):
            message = f"{label!r} is compressed in a way that needs imagecodecs"
            hint = "pip install imagecodecs, or save it with Deflate"
            raise CaflowError(message, hint) from error
        raise


def _described(page: tifffile.TiffPage) -> dict[str, Any]:
    """The JSON object in the file's description; empty if there is none."""
    try:
        found = json.loads(page.description)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _steps_in(described: dict[str, Any]) -> Steps:
    return "db" if described.get("in") == "db" else "linear"


def _number(text: Any) -> float | None:
    """The number that a tag states as text, or None."""
    try:
        return float(str(text).strip("\0 "))
    except ValueError:
        return None
