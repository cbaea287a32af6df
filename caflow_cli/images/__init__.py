"""Pictures in and out: decoding, transparency, encoding and safe writing.

`docs/pictures.md` states the policy for users.
"""

from .alpha import fill_transparent, over_white, resize_alpha
from .atomic import atomic_write, locked_folder, make_folder, remove_leftovers
from .decode import SUFFIXES, Decoded, decode, read_image, stored_size
from .encode import FORMATS, Encoder, encode_png, format_of, write_png
from .provenance import read_provenance
from .source import MAX_BYTES, no_file
from .transparency import filled_in, put_back

__all__ = [
    "FORMATS",
    "MAX_BYTES",
    "SUFFIXES",
    "Decoded",
    "Encoder",
    "atomic_write",
    "decode",
    "encode_png",
    "fill_transparent",
    "filled_in",
    "format_of",
    "locked_folder",
    "make_folder",
    "no_file",
    "over_white",
    "put_back",
    "read_image",
    "read_provenance",
    "remove_leftovers",
    "resize_alpha",
    "stored_size",
    "write_png",
]
