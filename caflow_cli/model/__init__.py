"""The model: equation 9 (`density`), its use on images of 8 and 16 bits (`caflow`), and files."""

from .caflow import CAFlow, LossTerms
from .card import Card
from .density import Condition, Density, bits_per_dim, standard_error
from .pretrained import BITS, checkpoint_bytes, without_values

__all__ = [
    "BITS",
    "CAFlow",
    "Card",
    "Condition",
    "Density",
    "LossTerms",
    "bits_per_dim",
    "checkpoint_bytes",
    "standard_error",
    "without_values",
]
