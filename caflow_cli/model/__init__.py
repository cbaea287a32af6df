"""The model: equation 9 (`density`), and its use on 8-bit images (`caflow`)."""

from .caflow import CAFlow, LossTerms, bits_per_dim, standard_error
from .density import Condition, Density

__all__ = ["CAFlow", "Condition", "Density", "LossTerms", "bits_per_dim", "standard_error"]
