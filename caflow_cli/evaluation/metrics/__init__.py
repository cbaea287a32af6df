"""Metrics of pictures and of sets: what each is, its formula, and the networks that some need.

Nothing here knows of tasks or of models. Importing the package imports no torch: the command line
describes metrics without it.
"""

from .catalogue import METRICS, Metric, choose_metrics

__all__ = ["METRICS", "Metric", "choose_metrics"]
