"""Damage in photographs: dust, scratches, hairs, spots, cracks and tears are found."""

from .find import damage_of, find_damage
from .infrared import infrared_mask

__all__ = ["damage_of", "find_damage", "infrared_mask"]
