"""Draw M candidates, rank them, by log-likelihood or else, keep the best N (paper section 4.4)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..devices import check_bf16
from ..model import CAFlow
from ..sampling import Sampling
from ..tasks import Picture, SuperRes
from ..temperature import Tau, Temperature
from .candidates import Conditioned, Progress, Request
from .choice import CONSENSUS, distances, order, own_log_likelihoods
from .consistent import consistency
from .domain import Statistics
from .refine import check_refinable
from .score import Estimator, Score, check_mask, estimator_of, task_of
from .tiling import check_size

__all__ = ["Candidate", "Candidates", "restore", "restore_alike", "restore_with"]


@dataclass(frozen=True, eq=False)
class Candidate:
    """One draw, with the score of the picture composed from it."""

    k: int
    seed: int  # replays it: `--seed SEED -m 1`
    rank: int  # from 1
    rank_value: float | None  # what the rule of rank says of it (`inference.choice`)
    score: Score
    consistency_max: int | None  # levels between the reduced picture and the input, if projected
    draws: tuple[Picture, ...]  # uint8, of the model's size, one a part; or projected: the picture
    compose: Callable[[Sequence[Picture]], Picture]
    redraws: int = 0  # draws of its generator that ran away, of all parts

    @property
    def image(self) -> Picture:
        """The picture, uint8 (H, W, 3), composed at each access to save memory."""
        return self.compose(self.draws)


@dataclass(frozen=True)
class Candidates:
    """All M candidates of a picture, best first, and the settings they were drawn with."""

    ranked: list[Candidate]
    keep: int
    tau: Temperature
    rank_by: str  # the rule of rank
    refine: int  # steps; above 0 candidates are no plain samples
    precision: str  # of nets while drawing
    estimator: Estimator
    statistics: Statistics  # of the condition, for `Domain`

    @property
    def kept(self) -> list[Candidate]:
        """The best N candidates."""
        return self.ranked[: self.keep]


def restore(
    model: CAFlow,
    image: np.ndarray,
    tau: Tau | None = None,
    candidates: int | None = None,
    keep: int = 1,
    seed: int = 0,
    mask: np.ndarray | None = None,
    *,
    batch_size: int | None = None,
    noise_samples: int = 1,
    rank: str = "likelihood",
    consistent: bool = False,
    refine: int = 0,
    precision: str = "float32",
) -> Candidates:
    """Draw candidates of p(w|y), each one sample, and rank them, by log-likelihood or else.

    Each draw is composed with the input and rounded to 8 bits before it is scored. So `score` on
    the written picture repeats the number that ranked it.

    Args:
        model: Any model; its task turns `image` into a condition.
        image: uint8 (H, W, 3).
        tau: Temperature: a number, or a shape such as (0.9, 0.7, 0.5) or "0.9/0.7/0.5", one a
            scale, finest first, or one a latent; default: the model's, else the task's.
        candidates: M; default likewise.
        keep: N, how many of them `kept` holds.
        seed: Candidate k draws from generator `seed + k`.
        mask: For inpaint: uint8 (H, W), 128 and up where the picture is to be filled.
        batch_size: Candidates at a time. Default: as many as fit well into memory.
        noise_samples: K of the scores.
        rank: "likelihood"; "consensus", "typical" or "likely-consensus" (`inference.choice`);
            "best", the one of them that the model's config names; "none" for the order of k.
        consistent: superres: project each draw back to a picture that shrinks to `image`, within
            one level, before it is scored (`back_project`).
        refine: Gradient steps on each draw's latents that raise its log-density, before it is
            composed (`inference.refine`). Refined candidates are no plain samples.
        precision: "bf16" draws with nets in bfloat16, where that is faster. Each candidate differs
            a little, and is scored in float32 like any picture.

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
        CaflowError: An argument is out of range, the picture is too large, the mask does not fit,
            or to be refined, a candidate runs away eleven times, or bfloat16 is not fast here.
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
        refine=refine,
        precision=precision,
    )
    return restore_with(model, image, sampling, mask)


def restore_with(
    model: CAFlow,
    image: Picture,
    sampling: Sampling,
    mask: Picture | None = None,
    progress: Progress | None = None,
) -> Candidates:
    """Do as `restore`, with the settings in one record.

    Args:
        model: Any model.
        image: uint8 (H, W, 3).
        sampling: If tau or M is None, it is the model's, else the task's.
        mask: uint8 (H, W), for inpaint.
        progress: Is told when a part of a batch of candidates is done.

    Raises:
        CaflowError: As for `restore`.
    """
    (result,) = restore_alike(model, [image], sampling, [mask], progress)
    return result


def restore_alike(
    model: CAFlow,
    images: Sequence[Picture],
    sampling: Sampling,
    masks: Sequence[Picture | None],
    progress: Progress | None = None,
) -> list[Candidates]:
    """Do as `restore_with` for several pictures, which are drawn and scored in batches of them all.

    Each picture has the candidates that it has alone, up to the rounding of another batch size.

    Args:
        model: Any model.
        images: uint8 (H, W, 3) each, with one `Task.model_size` for all.
        sampling: For every picture.
        masks: uint8 (H, W), one for each picture, or None.
        progress: Is told when a part of a batch of candidates is done.

    Raises:
        CaflowError: As for `restore`, for one of the pictures: no other has a result then, either.
    """
    task, sampling = task_of(model), sampling.of(model.config)
    tau, m = sampling.temperature, sampling.candidates
    assert m is not None, "Sampling.of fills it in"
    for image, mask in zip(images, masks, strict=True):
        check_mask(task, mask)
        size = task.model_size(image, mask)
        check_size(size)
        if sampling.refine:
            check_refinable(size)
    requests = [
        Request.of(task, image, mask, sampling.consistent)
        for image, mask in zip(images, masks, strict=True)
    ]
    bf16 = sampling.precision == "bf16"
    if bf16:
        check_bf16(model.device)
    conditioned = Conditioned(model, requests, progress=progress, bf16=bf16)

    found: list[list[_Drawn]] = [[] for _ in requests]
    seeds = [sampling.seed] * len(requests)
    for drawn, score in conditioned.candidates(
        tau, m, seeds, sampling.noise_samples, sampling.batch_size, sampling.refine
    ):
        if isinstance(task, SuperRes) and sampling.consistent:
            levels = consistency(images[drawn.request], drawn.image, task)
            one = _Drawn((drawn.image,), levels, score, drawn.redraws)
        else:
            one = _Drawn(drawn.draws, None, score, drawn.redraws)
        found[drawn.request].append(one)

    own: Sequence[npt.NDArray[np.float64] | None] = [None] * len(requests)
    if sampling.rank == "typical":
        own = list(own_log_likelihoods(conditioned, sampling.noise_samples, sampling.batch_size))
    estimator = estimator_of(model, sampling.noise_samples)
    return [
        Candidates(
            _ranked(sampling, request, found[row], own[row]),
            sampling.keep,
            tau,
            sampling.rank,
            sampling.refine,
            sampling.precision,
            estimator,
            conditioned.statistics[row],
        )
        for row, request in enumerate(requests)
    ]


class _Drawn(NamedTuple):
    """A candidate, not yet ranked."""

    draws: tuple[Picture, ...]
    consistency_max: int | None
    score: Score
    redraws: int


def _ranked(
    sampling: Sampling,
    request: Request,
    found: Sequence[_Drawn],
    own: npt.NDArray[np.float64] | None,
) -> list[Candidate]:
    """The candidates of a picture, best first; `own` is for the rule "typical"."""
    compose = _as_it_is if sampling.consistent else request.compose
    apart = None
    if sampling.rank in CONSENSUS:
        apart = distances(len(found), lambda k: compose(found[k].draws))
    places = order(sampling.rank, [one.score.rank_score for one in found], apart, own)
    ranked = []
    for position, (k, value) in enumerate(places, 1):
        draws, off, score, redraws = found[k]
        seed = sampling.seed + k
        ranked.append(Candidate(k, seed, position, value, score, off, draws, compose, redraws))
    return ranked


def _as_it_is(projected: Sequence[Picture]) -> Picture:
    """Compose a picture that is already composed, because it was projected."""
    (picture,) = projected
    return picture
