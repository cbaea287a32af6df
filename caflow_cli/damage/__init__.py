"""Damage in photographs: dust, scratches, hairs, spots, cracks and tears are found."""

from .find import find_damage
from .infrared import infrared_mask

__all__ = ["find_damage", "infrared_mask"]
