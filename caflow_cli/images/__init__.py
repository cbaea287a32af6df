"""Reading and writing image files, and transparency. `docs/inference.md` states the policy."""

from .atomic import atomic_write, locked_folder, make_folder
from .color import (
    LUMA,
    ONE,
    VALUES,
    Pixels,
    fill_transparent,
    gray,
    in_8_bits,
    in_16_bits,
    in_gray,
    is_gray,
    levels_in,
    resize,
    white,
)
from .profile import convert, is_of_grays, strips
from .provenance import read_provenance
from .read import (
    MAX_BYTES,
    SUFFIXES,
    decode,
    read_image,
    read_size,
    read_source,
    stores_losslessly,
)
from .refusals import DEEP_HINT, has_deep, no_file
from .values import Input, Output, Raster
from .write import FORMATS, LARGE, Encoder, encode_png, format_of, write_png

__all__ = [
    "DEEP_HINT",
    "FORMATS",
    "LARGE",
    "LUMA",
    "MAX_BYTES",
    "ONE",
    "SUFFIXES",
    "VALUES",
    "Encoder",
    "Input",
    "Output",
    "Pixels",
    "Raster",
    "atomic_write",
    "convert",
    "decode",
    "encode_png",
    "fill_transparent",
    "format_of",
    "gray",
    "has_deep",
    "in_8_bits",
    "in_16_bits",
    "in_gray",
    "is_gray",
    "is_of_grays",
    "levels_in",
    "locked_folder",
    "make_folder",
    "no_file",
    "read_image",
    "read_provenance",
    "read_size",
    "read_source",
    "resize",
    "stores_losslessly",
    "strips",
    "white",
    "write_png",
]
