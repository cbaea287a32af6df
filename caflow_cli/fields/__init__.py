"""Measured fields in their unit, and the files that hold them."""

from .files import field_of, read_field
from .values import Array, Field, Grid

__all__ = ["Array", "Field", "Grid", "field_of", "read_field"]
