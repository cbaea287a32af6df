"""Measured fields in their unit, and the files that hold them."""

from .files import (
    FIELD_FORMATS,
    FieldEncoder,
    as_field,
    format_of_content,
    format_of_field,
    holds_field,
    read_field,
    read_members,
    read_provenance,
    record_of,
    stacked,
)
from .netcdf import members_in_xarray
from .units import same_unit

__all__ = [
    "FIELD_FORMATS",
    "FieldEncoder",
    "as_field",
    "format_of_content",
    "format_of_field",
    "holds_field",
    "members_in_xarray",
    "read_field",
    "read_members",
    "read_provenance",
    "record_of",
    "same_unit",
    "stacked",
]
