"""Reading and writing image files, and transparency. `docs/inference.md` states the policy."""

from .atomic import atomic_write, locked_folder, make_folder
from .color import Pixels, fill_transparent, is_gray, resize, strips
from .read import (
    MAX_BYTES,
    SUFFIXES,
    Header,
    decode,
    no_file,
    read_header,
    read_image,
    read_provenance,
    stores_losslessly,
)
from .values import Input, Output
from .write import FORMATS, LARGE, Encoder, encode_png, format_of, write_png

__all__ = [
    "FORMATS",
    "LARGE",
    "MAX_BYTES",
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
    "is_gray",
    "locked_folder",
    "make_folder",
    "no_file",
    "read_header",
    "read_image",
    "read_provenance",
    "resize",
    "stores_losslessly",
    "strips",
    "write_png",
]
