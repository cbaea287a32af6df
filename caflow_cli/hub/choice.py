"""Which model is chosen when: the one list of such rules, which command, page and `score` ask.

| task     | when                                | model                                         |
|----------|-------------------------------------|-----------------------------------------------|
| superres | compressed, noisy or blurred pixels | web-superres-x4                               |
| superres | 12 to 32 pixels wide and as high    | the default, with a hint at faces-superres-x4 |
| any      | otherwise                           | the task's default in the manifest            |

A named model (`--model`, environment, config file) is always taken.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..config import TaskConfig
from ..images import Pixels, read_image
from ..images.artifacts import Values, artifacts
from .resolve import default_model

NAMED = "named by --model, the environment or the config file"
# The log-odds that the model of web images enlarges an image with a lower LPIPS, by logistic
# regression on the statistics of `artifacts` (tests/benchmarks/choose.py): their mean and standard
# deviation, the weight of each standardized value, and those of its products with itself and the
# values before it.
_BIAS = -0.804
_ODDS = (
    (0.130, 0.192, 0.040),
    (0.309, 0.239, 0.770),
    (-0.143, 0.773, 0.817),
    (0.753, 0.858, 0.902),
    (-0.275, 0.204, 0.929),
    (-0.488, 0.102, -2.038),
    (-1.054, 0.673, -0.804),
    (-0.352, 0.312, -0.702),
    (0.331, 0.314, 2.090),
    (0.477, 0.340, 1.230),
)
_PRODUCTS = (
    (-0.385, 0.000, 0.000, 0.000, 0.000, 0.000, 0.000, 0.000, 0.000, 0.000),
    (-2.408, 0.950, 0.000, 0.000, 0.000, 0.000, 0.000, 0.000, 0.000, 0.000),
    (-0.693, -1.803, -0.805, 0.000, 0.000, 0.000, 0.000, 0.000, 0.000, 0.000),
    (0.388, 2.690, 0.230, -0.581, 0.000, 0.000, 0.000, 0.000, 0.000, 0.000),
    (-1.087, -0.469, -1.187, 1.569, -0.783, 0.000, 0.000, 0.000, 0.000, 0.000),
    (0.015, -1.134, 0.346, 0.285, 0.210, -0.511, 0.000, 0.000, 0.000, 0.000),
    (-0.527, -1.503, 0.499, -0.793, -0.255, -0.492, 0.159, 0.000, 0.000, 0.000),
    (-1.431, -1.204, 0.545, -1.581, 0.707, -0.033, 0.810, 0.590, 0.000, 0.000),
    (0.106, -0.082, 0.274, 0.963, -0.402, -0.081, 0.274, -0.283, 0.990, 0.000),
    (0.914, 0.153, -0.723, -0.711, 0.722, -0.057, -0.787, 0.339, -1.825, -0.017),
)
_SMALLEST = 64  # side, in pixels, below which the statistics vary too much
_FACES = range(12, 33)  # sides, in pixels, of inputs that may be aligned faces


class Choice(NamedTuple):
    """A model, and why it was chosen."""

    model: str  # its id
    reason: str


class Rule(NamedTuple):
    """A choice for the images of a task for which `when` is true."""

    task: str
    when: Callable[[Pixels], bool]
    choice: Choice


def log_odds(statistics: Values) -> float:
    """The log-odds that the model of web images suits an image with these `artifacts` better."""
    mean, deviation, weights = np.array(_ODDS).T
    z = ((statistics - mean) / deviation).clip(-3, 3)
    return float(_BIAS + weights @ z + z @ np.array(_PRODUCTS) @ z)


def _is_degraded(image: Pixels) -> bool:
    return min(image.shape[:2]) >= _SMALLEST and log_odds(artifacts(image)) > 0


def _is_face_sized(image: Pixels) -> bool:
    height, width = image.shape[:2]
    return height == width and height in _FACES


_WEB = Choice("web-superres-x4", "for compressed, noisy or blurred images")
_FACE = Choice("faces-superres-x4", "if this is an aligned face, try --model faces-superres-x4")
RULES = (Rule("superres", _is_degraded, _WEB),)
HINTS = (Rule("superres", _is_face_sized, _FACE),)


def choose_model(image: Pixels | str | Path | None = None, task: str | None = None) -> Choice:
    """The model for an image and a task, by default superres: the first rule that applies.

    Args:
        image: uint8 (H, W, 3), or a path; without it, the choice is the task's default.
        task: Such as "superres".

    Raises:
        CaflowError: There is no model for the task (exit 3), or the file cannot be read.

    Examples:
        >>> import caflow_cli as caflow
        >>> from caflow_cli.assets import example_path
        >>> caflow.choose_model(example_path("cat_192")).model
        'photos-superres-x4'
    """
    task = task or TaskConfig.name
    if isinstance(image, str | Path):
        image = read_image(image)
    for rule in RULES:
        if image is not None and rule.task == task and rule.when(image):
            return rule.choice
    return Choice(default_model(task).id, f"the default for {task}")


def is_chosen(task: str, model: str) -> bool:
    """Whether `choose_model` may return that model for some image of the task."""
    return any(model == rule.choice.model for rule in RULES if rule.task == task) or (
        model == default_model(task).id
    )


def hint_at_model(task: str, image: Pixels) -> str | None:
    """A hint at a model that may suit the image better than the chosen one, if there is one."""
    hints = (rule.choice.reason for rule in HINTS if rule.task == task and rule.when(image))
    return next(hints, None)
