"""Reading and writing image files, and transparency. `docs/inference.md` states the policy."""

from .atomic import atomic_write, locked_folder, make_folder
from .color import (
    LUMA,
    ONE,
    Pixels,
    fill_transparent,
    gray,
    in_gray,
    is_gray,
    resize,
    strips,
    white,
)
from .read import (
    MAX_BYTES,
    SUFFIXES,
    Header,
    decode,
    no_file,
    read_header,
    read_image,
    read_provenance,
    read_second_page,
    stores_losslessly,
)
from .values import Input, Output
from .write import FORMATS, LARGE, Encoder, encode_png, format_of, write_png

__all__ = [
    "FORMATS",
    "LARGE",
    "LUMA",
    "MAX_BYTES",
    "ONE",
    "SUFFIXES",
    "Encoder",
    "Header",
    "Input",
    "Output",
    "Pixels",
    "atomic_write",
    "decode",
    "encode_png",
    "fill_transparent",
    "format_of",
    "gray",
    "in_gray",
    "is_gray",
    "locked_folder",
    "make_folder",
    "no_file",
    "read_header",
    "read_image",
    "read_provenance",
    "read_second_page",
    "resize",
    "stores_losslessly",
    "strips",
    "white",
    "write_png",
]
