"""Measured fields in their unit, and the files that hold them."""

from .files import (
    FIELD_FORMATS,
    check_place,
    encode_members,
    field_of,
    format_of_field,
    read_field,
    read_members,
    read_provenance,
    stated_unit,
    write_members,
)
from .netcdf import members_in_xarray
from .units import same_unit
from .values import Array, Field, Grid

__all__ = [
    "FIELD_FORMATS",
    "Array",
    "Field",
    "Grid",
    "check_place",
    "encode_members",
    "field_of",
    "format_of_field",
    "members_in_xarray",
    "read_field",
    "read_members",
    "read_provenance",
    "same_unit",
    "stated_unit",
    "write_members",
]
