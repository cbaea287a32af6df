"""TIFF and GeoTIFF files: read with one band, written with one band a member."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, BinaryIO
from xml.etree import ElementTree
from xml.sax.saxutils import escape, unescape

import numpy as np

from ..errors import CaflowError, ensure
from ..images.deep import check_segments
from ..images.profile import Array
from ..images.provenance import PROVENANCE
from ..images.values import Raster, unit_of
from ..records import Table
from .geotiff import GeoTags, Tag, read_tags
from .values import fields_of, marked

if TYPE_CHECKING:
    import tifffile

_REDUCED, _MASK = 1, 4  # NewSubfileType: a smaller copy of another page, and its mask
_ORIENTATION = 274
_GDAL = 42112  # GDAL_METADATA: scale, offset and unit of bands
_NODATA = 42113
_ASCII = 2
_STRIP = 2**18  # bytes


def read_tiff(data: bytes, label: str, nodata: float | None) -> list[Raster]:
    """Read the bands of a TIFF, each as a field; arguments and errors as for `read_field`."""
    import tifffile

    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = _only_page(file, label)
        check_segments(page, len(data), label)
        stored = _stored(page, label)
        described = _described(page)
        scale, offset, unit = _said_by_gdal(page)
        declared = _numbers(page.tags.valueof(_NODATA))
        grid = read_tags(page, label)
    said = {**described, "unit": described.get("unit") or unit}
    return fields_of(stored, scale, offset, said, grid, declared, nodata, label)


def _only_page(file: tifffile.TiffFile, label: str) -> tifffile.TiffPage:
    """The page of a file that has one, beside smaller copies."""
    pages = [page.aspage() for page in file.pages]
    masked = any(page.subfiletype & _MASK for page in pages)
    ensure(not masked, f"{label!r} has a mask of its own", f"gdal_translate -mask none {label}")
    full = [page for page in pages if not page.subfiletype & _REDUCED]
    page = full[0]
    ensure(
        len(full) == 1 and page.imagedepth == 1,
        f"{label!r} has {len(full)} pages, and a field has one",
        f"gdal_translate GTIFF_DIR:1:{label} page.tif",
    )
    ensure(
        page.tags.valueof(_ORIENTATION, 1) == 1,
        f"{label!r} is turned by its orientation tag",
        f"gdal_translate {label} upright.tif",
    )
    return page


def _stored(page: tifffile.TiffPage, label: str) -> Array:
    """The values of a page as stored: (bands, H, W)."""
    ensure(
        page.dtype is not None and page.dtype.kind in "iuf",
        f"{label!r} holds no real numbers",
        "save it as float32",
    )
    try:
        values: Array = page.asarray(squeeze=False, maxworkers=1)
    except ValueError as error:
        if "imagecodecs" not in str(error):
            raise
        message = f"{label!r} is compressed in a way that needs imagecodecs"
        hint = "pip install imagecodecs, or save it with Deflate and no predictor"
        raise CaflowError(message, hint) from error
    # Bands come last if they are interleaved, else first.
    return np.moveaxis(values, -1, 0).reshape(-1, page.imagelength, page.imagewidth)


def _described(page: tifffile.TiffPage) -> Table:
    """The JSON object in the file's description; empty if there is none."""
    try:
        found = json.loads(page.description)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _said_by_gdal(page: tifffile.TiffPage) -> tuple[float, float, str]:
    """Scale, offset and unit of the first band."""
    text = str(page.tags.valueof(_GDAL, "<GDALMetadata/>")).strip("\0")
    found = {
        item.get("role"): unescape(item.text or "")  # which GDAL escapes twice
        for item in ElementTree.fromstring(text).iter("Item")
        if item.get("sample", "0") == "0"
    }
    scale, offset = float(found.get("scale", 1)), float(found.get("offset", 0))
    return scale, offset, found.get("unittype", "")


def _numbers(text: Any) -> list[float]:
    """The number that a tag states as text, if it does."""
    try:
        return [float(str(text).strip("\0 "))]
    except ValueError:
        return []


def stated_tiff_unit(source: BinaryIO) -> str:
    """The unit that a TIFF of floats, or GDAL, states; else empty.

    Any exception means that it is damaged.
    """
    import tifffile

    with tifffile.TiffFile(source) as file:
        page = file.pages.first.aspage()
        if page.dtype is None:
            return ""
        described = _described(page) if page.dtype.kind == "f" else {}
        _, _, unit = _said_by_gdal(page)
        return str(described.get("unit") or unit)


def read_tiff_provenance(data: bytes) -> Table | None:
    """The provenance in a TIFF that `encode_tiff` wrote; None if there is none."""
    import tifffile

    with tifffile.TiffFile(io.BytesIO(data)) as file:
        found = _described(file.pages.first.aspage()).get(PROVENANCE)
    return found if isinstance(found, dict) else None


def encode_tiff(
    members: Array, like: Raster, seeds: Sequence[int], provenance: Table | None
) -> bytes:
    """Encode members as the bands of a TIFF, compressed by Deflate.

    A GeoTIFF's place is that of the coarse field, in smaller cells. Unit and nodata are stated as
    GDAL does.

    Args:
        members: (M, H, W), float32 in the unit, NaN where missing.
        like: One of them, whose place, unit and nodata all have.
        seeds: Of the members, for the description of each band.
        provenance: Stored in the description, in JSON.
    """
    import tifffile

    values, nodata = marked(members, like.nodata)
    unit = unit_of(like).name
    described: Table = {"unit": unit}  # no step: drawn values have none
    if provenance is not None:
        described[PROVENANCE] = provenance
    tags: list[Tag] = []
    if isinstance(like.place, GeoTags):
        tags += like.place.tags()
    tags.append(_text(_GDAL, _gdal_metadata(seeds, unit)))
    if like.nodata is not None or np.isnan(members).any():
        tags.append(_text(_NODATA, f"{nodata:.17g}"))
    count, _, width = values.shape
    buffer = io.BytesIO()
    tifffile.imwrite(
        buffer,
        values if count > 1 else values[0],
        photometric="minisblack",
        planarconfig="separate" if count > 1 else None,
        extrasamples=(0,) * (count - 1) or None,
        compression="zlib",
        rowsperstrip=max(1, _STRIP // (width * values.itemsize)),
        description=json.dumps(described),
        metadata=None,
        software=False,
        extratags=[(*tag, True) for tag in tags],
    )
    return buffer.getvalue()


def _text(code: int, text: str) -> Tag:
    return code, _ASCII, len(text) + 1, text


def _gdal_metadata(seeds: Sequence[int], unit: str) -> str:
    """What GDAL reads of bands, in XML."""
    root = ElementTree.Element("GDALMetadata")
    for band, seed in enumerate(seeds):
        said = {"description": f"member {seed}", "unittype": unit}
        for role, text in said.items():
            if text:
                item = {"name": role.upper(), "sample": str(band), "role": role}
                ElementTree.SubElement(root, "Item", item).text = escape(text)
    return ElementTree.tostring(root).decode()
