"""Damage in photographs: dust, scratches, hairs, spots, cracks and tears are found."""

from .find import confidence_of, damage_of, find_damage, snapped
from .infrared import infrared_mask

__all__ = ["confidence_of", "damage_of", "find_damage", "infrared_mask", "snapped"]
