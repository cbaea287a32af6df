"""Calibrated intervals: a function of candidates and a calibration."""

from ..evaluation.settings import CalibrationImages
from .bounds import (
    at_depth,
    calibrated,
    check_one_pass,
    interval,
    interval_chart,
    mean_width,
)
from .calibrate import Coverage, calibrate, check_calibration, has_learned

__all__ = [
    "CalibrationImages",
    "Coverage",
    "at_depth",
    "calibrate",
    "calibrated",
    "check_calibration",
    "check_one_pass",
    "has_learned",
    "interval",
    "interval_chart",
    "mean_width",
]
