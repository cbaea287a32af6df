"""Measured fields in their unit, and the files that hold them."""

from .files import (
    FORMATS,
    encode_members,
    field_of,
    format_of_field,
    read_field,
    read_members,
    read_provenance,
    write_members,
)
from .netcdf import members_in_xarray
from .values import Along, Array, Field, Grid, Packing

__all__ = [
    "FORMATS",
    "Along",
    "Array",
    "Field",
    "Grid",
    "Packing",
    "encode_members",
    "field_of",
    "format_of_field",
    "members_in_xarray",
    "read_field",
    "read_members",
    "read_provenance",
    "write_members",
]
