"""The likelihood of a pair of pictures, as `score` states it and candidates are ranked by it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import torch
from torch import Tensor

from ..errors import EXIT_USAGE, CaflowError
from ..model import CAFlow, bits_per_dim
from ..sampling import check_noise_samples
from ..tasks import Picture, Task, get_task
from .conditions import InTiles, OnePiece, read_conditions
from .tiling import check_size

__all__ = [
    "Estimator",
    "Score",
    "check_mask",
    "estimator_of",
    "score",
    "score_targets",
    "task_of",
    "to_batch",
]


@dataclass(frozen=True)
class Score:
    """log p(w|y) of the reduced pair, on the 8-bit scale.

    A pair too large for one piece is scored in tiles: they have no joint density.
    """

    rank_score: float  # nats: log_likelihood, or the sum over tiles
    log_likelihood: float | None  # nats; None in tiles
    bits_per_dim: float | None
    standard_error: float | None  # of log_likelihood over the K noise draws, nats; None for K = 1
    score_domain: str  # "image": the picture itself; "reduced": padded or shrunk to model size;
    # "tiles": in overlapping parts
    scored_size: tuple[int, int]  # width, height

    @property
    def summary(self) -> str:
        """For people: `-30112.8 nats, 3.535 bits/dim`."""
        if self.log_likelihood is None or self.bits_per_dim is None:
            return f"rank score {self.rank_score:.1f} nats, in tiles"
        return f"{self.log_likelihood:.1f} nats, {self.bits_per_dim:.3f} bits/dim"


class Estimator(TypedDict):
    """How a log-likelihood was estimated, as JSON states it."""

    dequantization: str
    noise_samples: int
    bound: str


def task_of(model: CAFlow) -> Task:
    """The task that the model was trained for."""
    return get_task(model.config)


def check_mask(task: Task, mask: Picture | None) -> None:
    """CaflowError (exit code 2) unless there is a mask just where the task needs one."""
    if task.needs_mask and mask is None:
        raise CaflowError(
            f"{task.name} needs a mask", "--mask FILE, white where it fills", EXIT_USAGE
        )
    if mask is not None and not task.needs_mask:
        raise CaflowError(f"{task.name} takes no mask", "leave --mask out", EXIT_USAGE)


def to_batch(images: Sequence[Picture]) -> Tensor:
    """uint8 (H, W, C) arrays of one size as a (B, C, H, W) tensor."""
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)


def score(
    model: CAFlow,
    condition: Picture,
    target: Picture,
    mask: Picture | None = None,
    *,
    noise_samples: int = 1,
) -> Score:
    """Score a target against the picture that it was made from.

    Args:
        model: Any model.
        condition: The task's input, uint8 (H, W, 3): for superres the small picture.
        target: uint8 (H', W', 3).
        mask: uint8 (H, W), 128 and up where the picture was filled: for inpaint.
        noise_samples: K.

    Examples:
        >>> import caflow_cli as caflow
        >>> from caflow_cli.assets import example_path
        >>> from caflow_cli.images import read_image
        >>> face, small = (read_image(example_path(name)) for name in ("face_64", "face"))
        >>> score = caflow.score(caflow.load("faces-superres-x4"), small, face)
        >>> f"{score.log_likelihood:.0f} nats, {score.bits_per_dim:.3f} bits/dim"
        '-30113 nats, 3.535 bits/dim'

    Raises:
        CaflowError: The target or the mask does not fit the condition.
    """
    check_noise_samples(noise_samples)
    task = task_of(model)
    check_mask(task, mask)
    check_size(task.model_size(condition, mask))
    cond, reduced = (to_batch([side]) for side in task.reduce(condition, target, mask))
    conditions = read_conditions(model, cond)
    return score_targets(conditions, reduced, [target.shape], noise_samples)[0]


def estimator_of(model: CAFlow, noise_samples: int) -> Estimator:
    """The estimator of a model's log-likelihoods."""
    bounds = {
        "uniform": "mean over draws of log p(w + u | y)",
        "variational": "log of the mean over draws of p(w + u | y) / q(u | w)",
    }
    kind = model.config.flow.dequantization
    return {"dequantization": kind, "noise_samples": noise_samples, "bound": bounds[kind]}


def score_targets(
    conditions: OnePiece | InTiles,
    targets: Tensor,
    shapes: Sequence[tuple[int, ...]],
    noise_samples: int,
    strict: bool = True,
) -> list[Score]:
    """Score reduced targets under the conditions that they were reduced with.

    Args:
        conditions: One a target, or one for equally many neighbouring targets each.
        targets: uint8 (B, C, H, W).
        shapes: Of the pictures (H', W', C) before they were reduced, for the score domain.
        noise_samples: K.
        strict: Refuse a log-likelihood that is not finite.

    Raises:
        CaflowError: A log-likelihood is not finite, and `strict`.
    """
    channels, height, width = targets.shape[1:]
    values, errors = conditions.log_prob(targets, noise_samples)
    if strict and not all(map(math.isfinite, values)):
        raise CaflowError(
            "a log-likelihood is not finite: the picture is too far from what the model knows",
            "another picture, or another --model",
        )
    if errors is None:
        return [Score(value, None, None, None, "tiles", (width, height)) for value in values]
    return [
        Score(
            rank_score=value,
            log_likelihood=value,
            bits_per_dim=bits_per_dim(value, channels * height * width),
            standard_error=error if noise_samples > 1 else None,
            score_domain="image" if shape == (height, width, channels) else "reduced",
            scored_size=(width, height),
        )
        for value, error, shape in zip(values, errors, shapes, strict=True)
    ]
