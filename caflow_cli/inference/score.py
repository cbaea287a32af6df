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
from ..model import CAFlow, Condition, bits_per_dim
from ..tasks import Task, check_noise_samples, get_task
from .tiling import check_size, encode_tiles, plan_tiles, score_tiles

__all__ = [
    "Score",
    "check_mask",
    "estimator_of",
    "score",
    "score_pairs",
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


def task_of(model: CAFlow) -> Task:
    """The task that the model was trained for."""
    return get_task(model.config)


def check_mask(task: Task, mask: np.ndarray | None) -> None:
    """CaflowError (exit code 2) unless there is a mask just where the task needs one."""
    if task.needs_mask and mask is None:
        raise CaflowError(
            f"{task.name} needs a mask", "--mask FILE, white where it fills", EXIT_USAGE
        )
    if mask is not None and not task.needs_mask:
        raise CaflowError(f"{task.name} takes no mask", "leave --mask out", EXIT_USAGE)


def to_batch(images: Sequence[np.ndarray]) -> Tensor:
    """uint8 (H, W, C) arrays of one size as a (B, C, H, W) tensor."""
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)


def score(
    model: CAFlow,
    condition: np.ndarray,
    target: np.ndarray,
    mask: np.ndarray | None = None,
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

    Raises:
        CaflowError: The target or the mask does not fit the condition.
    """
    check_noise_samples(noise_samples)
    task = task_of(model)
    check_mask(task, mask)
    check_size(task.model_size(condition, mask))
    pair = task.reduce(condition, target, mask)
    return score_pairs(model, [pair], [target.shape], noise_samples)[0]


def estimator_of(model: CAFlow, noise_samples: int) -> dict[str, Any]:
    """What a log-likelihood estimates, as JSON states it."""
    bounds = {
        "uniform": "mean over draws of log p(w + u | y)",
        "variational": "log of the mean over draws of p(w + u | y) / q(u | w)",
    }
    kind = model.config.flow.dequantization
    return {"dequantization": kind, "noise_samples": noise_samples, "bound": bounds[kind]}


def score_pairs(
    model: CAFlow,
    pairs: Sequence[tuple[np.ndarray, np.ndarray]],
    shapes: Sequence[tuple[int, ...]],
    noise_samples: int,
    encodings: Sequence[Condition] | None = None,
) -> list[Score]:
    """Scores of reduced (condition, target) pairs of one size, in one batch.

    Args:
        model: Any model.
        pairs: What the task's `reduce` gave.
        shapes: Of the unreduced targets, for the score domain.
        noise_samples: K.
        encodings: Of the tiles of the condition that all pairs share, if they do and it is known.
    """
    height, width = pairs[0][1].shape[:2]
    tiles = plan_tiles((height, width), model.config.flow.multiple)
    if len(tiles) > 1:
        scores = [
            Score(
                rank_score=score_tiles(
                    model,
                    target,
                    encodings or encode_tiles(model, condition, tiles),
                    tiles,
                    noise_samples,
                ),
                log_likelihood=None,
                bits_per_dim=None,
                standard_error=None,
                score_domain="tiles",
                scored_size=(width, height),
            )
            for condition, target in pairs
        ]
    else:
        cond = encodings[0] if encodings else to_batch([condition for condition, _ in pairs])
        batch = to_batch([target for _, target in pairs])
        value, error = model.log_prob_with_error(batch, cond, noise_samples)
        scores = [
            Score(
                rank_score=one,
                log_likelihood=one,
                bits_per_dim=bits_per_dim(one, target.size),
                standard_error=deviation if noise_samples > 1 else None,
                score_domain="image" if target.shape == shape else "reduced",
                scored_size=(width, height),
            )
            for one, deviation, (_, target), shape in zip(
                value.tolist(), error.tolist(), pairs, shapes, strict=True
            )
        ]
    if not all(math.isfinite(score.rank_score) for score in scores):
        raise CaflowError(
            "a log-likelihood is not finite: the picture is too far from what the model knows",
            "another picture, or another --model",
        )
    return scores
