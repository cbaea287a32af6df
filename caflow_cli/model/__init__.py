"""The model: equation 9 (`density`), and what surrounds it to work on 8-bit images (`caflow`)."""

from .caflow import CAFlow, Encoding, LossTerms, bits_per_dim

__all__ = ["CAFlow", "Encoding", "LossTerms", "bits_per_dim"]
