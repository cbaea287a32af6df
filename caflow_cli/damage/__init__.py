"""Damage in photographs: dust, scratches, hairs, spots, cracks and tears are found."""

from .find import find_damage

__all__ = ["find_damage"]
