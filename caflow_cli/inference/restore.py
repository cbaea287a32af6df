"""Draw M candidates, round them, score them, keep the best N (paper section 4.4)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import EXIT_USAGE, CaflowError
from ..model import CAFlow
from ..tasks import SuperRes, check_sampling
from .consistent import back_project, consistency
from .domain import Statistics, statistics
from .score import Score, check_mask, estimator_of, score_pairs, task_of
from .tiling import check_size, draw, encode_tiles, plan_tiles

__all__ = ["BATCH_PIXELS", "Candidate", "Candidates", "restore"]

BATCH_PIXELS = 2**18  # of the model's pictures at a time, unless the batch size is given


@dataclass(frozen=True, eq=False)
class Candidate:
    """One draw, and the score of what it composes to."""

    k: int
    seed: int  # replays it: `--seed SEED -m 1`
    rank: int  # from 1
    score: Score
    consistency_max: int | None  # levels between the reduced picture and the input, if projected
    draw: np.ndarray  # uint8, of the model's size; or projected, of the picture's
    compose: Callable[[np.ndarray], np.ndarray]

    @property
    def image(self) -> np.ndarray:
        """The picture, uint8 (H, W, 3); composed anew each time: M large ones would fill memory."""
        return self.compose(self.draw)


@dataclass(frozen=True)
class Candidates:
    """All M candidates of a picture, best first, and how they were drawn."""

    ranked: list[Candidate]
    keep: int
    tau: float
    estimator: dict[str, Any]
    statistics: Statistics  # of the condition, for `Domain`

    @property
    def kept(self) -> list[Candidate]:
        return self.ranked[: self.keep]


def restore(
    model: CAFlow,
    image: np.ndarray,
    tau: float | None = None,
    candidates: int | None = None,
    keep: int = 1,
    seed: int = 0,
    mask: np.ndarray | None = None,
    *,
    batch_size: int | None = None,
    noise_samples: int = 1,
    rank: str = "likelihood",
    consistent: bool = False,
) -> Candidates:
    """Draw candidates of p(w|y), each one sample, and rank them by log-likelihood.

    Each draw is composed with the input and rounded to 8 bits first, and scored then: `score` on
    the written picture repeats the number that ranked it.

    Args:
        model: Any model; its task says what is made of `image`.
        image: uint8 (H, W, 3).
        tau: Temperature; default: the model's, else the task's.
        candidates: M; default likewise.
        keep: N, how many of them `kept` holds.
        seed: Candidate k draws from generator `seed + k`.
        mask: uint8 (H, W), 128 and up where the picture is to be filled: for inpaint.
        batch_size: Candidates at a time; default: as many as fit well into memory.
        noise_samples: K of the scores.
        rank: "likelihood", or "none" for the order of k.
        consistent: superres: project each draw back to a picture that shrinks to `image`, within
            one level, before it is scored (`back_project`).

    Raises:
        CaflowError: Arguments out of range, a picture too large, a mask that does not fit, or a
            draw that is not finite.
    """
    task, config = task_of(model), model.config
    if tau is None:
        tau = config.task.tau if config.task.tau is not None else task.tau
    if candidates is None:
        candidates = config.task.candidates or task.candidates
    check_sampling(
        tau=tau,
        candidates=candidates,
        keep=keep,
        seed=seed,
        batch_size=batch_size,
        noise_samples=noise_samples,
        rank=rank,
    )
    check_mask(task, mask)
    if consistent and not isinstance(task, SuperRes):
        raise CaflowError(
            f"only superres can be consistent, not {task.name}",
            "leave --consistent out",
            EXIT_USAGE,
        )
    height, width = size = task.model_size(image, mask)
    check_size(size)
    condition = task.condition(image, mask)
    tiles = plan_tiles(size, config.flow.multiple)
    encodings = encode_tiles(model, condition, tiles)
    if len(tiles) == 1 and height * width <= BATCH_PIXELS:
        encodings = [model.encode_condition(encodings[0])]

    def compose(drawn: np.ndarray) -> np.ndarray:
        # What is projected is composed already.
        return drawn if consistent else task.compose(image, drawn, mask)

    draws: list[np.ndarray] = []
    apart: list[int] = []
    scores: list[Score] = []
    batch_size = batch_size or max(1, BATCH_PIXELS // (height * width))
    for first in range(0, candidates, batch_size):
        count = min(batch_size, candidates - first)
        drawn = draw(model, encodings, tiles, tau, seed + first, count)
        if isinstance(task, SuperRes) and consistent:
            drawn = [back_project(image, task.compose(image, one), task) for one in drawn]
            apart += [consistency(image, one, task) for one in drawn]
        pairs, shapes = [], []
        for one in drawn:
            target = compose(one)
            pairs.append(task.reduce(image, target, mask))
            shapes.append(target.shape)
        # Where the reduced condition is the one that was sampled from, it is encoded already.
        shared = all(np.array_equal(reduced, condition) for reduced, _ in pairs)
        scores += score_pairs(model, pairs, shapes, noise_samples, encodings if shared else None)
        draws += drawn

    order = list(range(candidates))
    if rank == "likelihood":
        order.sort(key=lambda k: (-scores[k].rank_score, k))
    ranked = [
        Candidate(
            k=k,
            seed=seed + k,
            rank=position + 1,
            score=scores[k],
            consistency_max=apart[k] if consistent else None,
            draw=draws[k],
            compose=compose,
        )
        for position, k in enumerate(order)
    ]
    return Candidates(ranked, keep, tau, estimator_of(model, noise_samples), statistics(encodings))
