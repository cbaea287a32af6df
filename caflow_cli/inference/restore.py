"""Draw M candidates, rank them by log-likelihood, keep the best N (paper section 4.4)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..model import CAFlow
from ..sampling import Sampling
from ..tasks import Picture, SuperRes
from .candidates import Conditioned, Request
from .consistent import consistency
from .domain import Statistics
from .score import Estimator, Score, check_mask, estimator_of, task_of
from .tiling import check_size

__all__ = ["Candidate", "Candidates", "restore", "restore_with"]


@dataclass(frozen=True, eq=False)
class Candidate:
    """One draw, and the score of the picture that it composes to."""

    k: int
    seed: int  # replays it: `--seed SEED -m 1`
    rank: int  # from 1
    score: Score
    consistency_max: int | None  # levels between the reduced picture and the input, if projected
    draw: Picture  # uint8, of the model's size; or projected, of the picture's
    compose: Callable[[Picture], Picture]
    redraws: int = 0  # draws of its generator that ran away before this one

    @property
    def image(self) -> Picture:
        """The picture, uint8 (H, W, 3); composed anew each time: M large ones would fill memory."""
        return self.compose(self.draw)


@dataclass(frozen=True)
class Candidates:
    """All M candidates of a picture, best first, and how they were drawn."""

    ranked: list[Candidate]
    keep: int
    tau: float
    estimator: Estimator
    statistics: Statistics  # of the condition, for `Domain`

    @property
    def kept(self) -> list[Candidate]:
        """The best N."""
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

    Examples:
        >>> import caflow_cli as caflow
        >>> from caflow_cli.assets import example_path
        >>> from caflow_cli.images import read_image
        >>> model = caflow.load("faces-superres-x4")
        >>> image = read_image(example_path("face"))
        >>> result = caflow.restore(model, image, tau=0.8, candidates=3, keep=2)
        >>> [(candidate.rank, candidate.image.shape) for candidate in result.kept]
        [(1, (64, 64, 3)), (2, (64, 64, 3))]
        >>> best, second = (candidate.score.rank_score for candidate in result.kept)
        >>> best >= second
        True

    Raises:
        CaflowError: Arguments out of range, a picture too large, a mask that does not fit, or a
            candidate that runs away eleven times.
    """
    sampling = Sampling(
        tau=tau,
        candidates=candidates,
        keep=keep,
        seed=seed,
        noise_samples=noise_samples,
        rank=rank,
        batch_size=batch_size,
        consistent=consistent,
    )
    return restore_with(model, image, sampling, mask)


def restore_with(
    model: CAFlow, image: Picture, sampling: Sampling, mask: Picture | None = None
) -> Candidates:
    """Do as `restore` does, with its settings in one record.

    Args:
        model: Any model.
        image: uint8 (H, W, 3).
        sampling: Where it leaves tau or M open, the model's, else the task's.
        mask: uint8 (H, W), for inpaint.

    Raises:
        CaflowError: As `restore`.
    """
    task, sampling = task_of(model), sampling.of(model.config)
    tau, m = sampling.tau, sampling.candidates
    assert tau is not None, "Sampling.of fills it in"
    assert m is not None, "Sampling.of fills it in"
    check_mask(task, mask)
    check_size(task.model_size(image, mask))
    request = Request.of(task, image, mask, sampling.consistent)
    conditioned = Conditioned(model, [request])

    found: list[tuple[Picture, int | None, Score, int]] = []
    for drawn, score in conditioned.candidates(
        tau, m, [sampling.seed], sampling.noise_samples, sampling.batch_size
    ):
        if isinstance(task, SuperRes) and sampling.consistent:
            off = consistency(image, drawn.image, task)
            found.append((drawn.image, off, score, drawn.redraws))
        else:
            found.append((drawn.draw, None, score, drawn.redraws))

    order = list(range(m))
    if sampling.rank == "likelihood":
        order.sort(key=lambda k: (-found[k][2].rank_score, k))
    ranked = []
    for position, k in enumerate(order, 1):
        draw, apart, score, redraws = found[k]
        compose = _as_it_is if sampling.consistent else request.compose
        seed = sampling.seed + k
        ranked.append(Candidate(k, seed, position, score, apart, draw, compose, redraws))
    estimator = estimator_of(model, sampling.noise_samples)
    return Candidates(ranked, sampling.keep, tau, estimator, conditioned.statistics[0])


def _as_it_is(projected: Picture) -> Picture:
    """The picture: it was composed before it was projected."""
    return projected
