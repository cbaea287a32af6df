"""Metrics of images and of sets: their descriptions, formulas and networks.

Nothing here knows tasks or models. Importing the package imports no torch, because the command line
describes metrics without it.
"""

from .catalogue import METRICS, Metric, Weights, choose_metrics

__all__ = ["METRICS", "Metric", "Weights", "choose_metrics"]
