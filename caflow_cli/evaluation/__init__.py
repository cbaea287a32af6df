"""Metrics of pictures against the truth."""

from .lpips import LpipsDistance
from .metrics import rmse

__all__ = ["LpipsDistance", "rmse"]
