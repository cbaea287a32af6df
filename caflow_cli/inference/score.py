"""The likelihood of a pair of pictures (DESIGN section 2, likelihood contract)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import EXIT_USAGE, CaflowError
from ..model import CAFlow, Encoding, bits_per_dim
from ..tasks import Task, get_task

__all__ = ["Score", "estimator_of", "score", "score_pairs", "task_of", "to_batch"]


@dataclass(frozen=True)
class Score:
    """log p(w|y) of the reduced pair, on the 8-bit scale."""

    log_likelihood: float  # nats
    bits_per_dim: float
    standard_error: float | None  # of log_likelihood over the K noise draws, nats; None for K = 1
    score_domain: str  # "image": the picture itself; "reduced": padded or shrunk to model size
    scored_size: tuple[int, int]  # width, height


def task_of(model: CAFlow) -> Task:
    """The task that the model was trained for."""
    return get_task(model.config.task.name, factor=model.config.task.factor)


def to_batch(images: Sequence[np.ndarray]) -> Tensor:
    """uint8 (H, W, C) arrays of one size as a (B, C, H, W) tensor."""
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)


def score(
    model: CAFlow, condition: np.ndarray, target: np.ndarray, *, noise_samples: int = 1
) -> Score:
    """Score a target against the picture that it was made from.

    Args:
        model: Any model.
        condition: The task's input, uint8 (H, W, 3): for superres the small picture.
        target: uint8 (H', W', 3).
        noise_samples: K.

    Raises:
        CaflowError: The target does not fit the condition.
    """
    check_noise_samples(noise_samples)
    pair = task_of(model).reduce(condition, target, model.config.flow.multiple)
    return score_pairs(model, [pair], [target], noise_samples)[0]


def estimator_of(model: CAFlow, noise_samples: int) -> dict[str, Any]:
    """What a log-likelihood estimates, as JSON states it."""
    bounds = {
        "uniform": "mean over draws of log p(w + u | y)",
        "variational": "log of the mean over draws of p(w + u | y) / q(u | w)",
    }
    kind = model.config.flow.dequantization
    return {"dequantization": kind, "noise_samples": noise_samples, "bound": bounds[kind]}


def check_noise_samples(noise_samples: int) -> None:
    if noise_samples < 1:
        raise CaflowError(
            f"{noise_samples} noise samples are too few", "--noise-samples 1", EXIT_USAGE
        )


def score_pairs(
    model: CAFlow,
    pairs: Sequence[tuple[np.ndarray, np.ndarray]],
    targets: Sequence[np.ndarray],
    noise_samples: int,
    encoding: Encoding | None = None,
) -> list[Score]:
    """Scores of reduced (condition, target) pairs of one size, in one batch.

    Args:
        model: Any model.
        pairs: What the task's `reduce` gave.
        targets: The unreduced targets, for the score domain.
        noise_samples: K.
        encoding: Of the condition that all pairs share, if they do and it is known.
    """
    cond = encoding if encoding is not None else to_batch([condition for condition, _ in pairs])
    batch = to_batch([target for _, target in pairs])
    value, error = model.log_prob_with_error(batch, cond, noise_samples)
    values, errors = value.tolist(), error.tolist()
    if not all(map(math.isfinite, values)):
        raise CaflowError(
            "a log-likelihood is not finite: the picture is too far from what the model knows",
            "another picture, or another --model",
        )
    scores = []
    for index, ((_, reduced), target) in enumerate(zip(pairs, targets, strict=True)):
        height, width = reduced.shape[:2]
        scores.append(
            Score(
                log_likelihood=values[index],
                bits_per_dim=bits_per_dim(values[index], reduced.size),
                standard_error=errors[index] if noise_samples > 1 else None,
                score_domain="image" if reduced.shape == target.shape else "reduced",
                scored_size=(width, height),
            )
        )
    return scores
