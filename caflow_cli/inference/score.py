"""The log-likelihood of a pair of images: the result of `score`, and what ranks candidates."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..errors import usage_error
from ..model import CAFlow, bits_per_dim, standard_error
from ..sampling import Sampling
from ..tasks import Part, Pixels, Place, Task, get_task

_BOUNDS = {
    "uniform": "mean over draws of log p(w + u | y)",
    "variational": "log of the mean over draws of p(w + u | y) / q(u | w)",
}


class PartScore(NamedTuple):
    """The log-likelihood of one part, and its deviations over the K noise draws."""

    value: float
    deviations: Tensor | None  # (K,), see `CAFlow.log_prob_with_deviations`; None in tiles


@dataclass(frozen=True)
class Score:
    """log p(w|y) of the reduced pair, on the 8-bit scale.

    A hole that is filled in parts has one pair per part. By the chain rule, the sum of their
    scores is the log-density of the whole fill, in the order of the parts. If a part is shrunk, its
    score covers only what the model reads, so the sum is not a log-likelihood. Nor is that of a
    pair too large for one pass: it is scored in tiles, which have no joint density.
    """

    # nats: log_likelihood, or the sum over tiles or parts; None for a candidate in tiles that was
    # not scored, because there was no other
    rank_score: float | None
    log_likelihood: float | None  # nats; None for tiles, and for several parts if one is shrunk
    bits_per_dim: float | None
    standard_error: float | None  # of log_likelihood over the K noise draws, nats; None for K = 1
    score_domain: str  # "image": the image itself; "reduced": padded or shrunk to model size;
    # "tiles": in overlapping tiles; "parts": the windows onto a hole
    scored_size: tuple[int, int]  # width and height of a scored part
    parts: tuple[Place, ...] = ()  # the windows onto a hole, in the order of filling
    known_values: int | None = None  # inpainting: scored values that the condition determines (only
    unknown_values: int | None = None  # their dequantization noise costs nats); and all others

    @property
    def summary(self) -> str:
        """A human-readable summary: `-30881.2 nats, 3.626 bits/dim`."""
        if self.rank_score is None:
            return "not scored"
        if self.log_likelihood is None or self.bits_per_dim is None:
            return f"rank score {self.rank_score:.1f} nats, in {self.score_domain}"
        return f"{self.log_likelihood:.1f} nats, {self.bits_per_dim:.3f} bits/dim"


@dataclass(frozen=True)
class Attribution:
    """A pair's score by region, compared with samples for the same condition."""

    target: Pixels  # as scored, at the model's size; for a hole filled in parts, the whole image
    nats: npt.NDArray[np.float64]  # (H, W), sums to the log-likelihood; in parts, to the rank score
    # (H / cell, W / cell), rounded up: standard deviations above the samples' mean
    z: npt.NDArray[np.float64]
    cell: int  # pixels
    samples: int


def score_of(
    part_scores: Sequence[PartScore],
    parts: Sequence[Part],
    size: tuple[int, int],
    shape: tuple[int, ...],
) -> Score:
    """Combine the log-likelihoods of all parts into the score of an image of `shape`, (H, W, C).

    `size` is the height and width at which each part is scored. Without part scores, the image was
    not scored, and all values are None.
    """
    height, width = size
    places = tuple(part.place for part in parts if part.place is not None)
    total = sum(one.value for one in part_scores) if part_scores else None
    deviations = [one.deviations for one in part_scores if one.deviations is not None]
    if total is None or len(deviations) < len(parts):
        return Score(total, None, None, None, "tiles", (width, height), places)
    counts = [part.values for part in parts if part.values is not None]
    known = sum(part_known for part_known, _ in counts) if counts else None
    unknown = sum(part_unknown for _, part_unknown in counts) if counts else None
    if len(parts) > 1 and any(place.shrunk for place in places):
        return Score(total, None, None, None, "parts", (width, height), places, known, unknown)
    domain = "image" if shape[:2] == size else "reduced"
    if len(parts) > 1:
        domain = "parts"
    # All parts use the same noise, so their errors are not independent: sum them draw by draw.
    together = torch.stack(deviations).sum(0)
    return Score(
        rank_score=total,
        log_likelihood=total,
        bits_per_dim=bits_per_dim(total, len(parts) * shape[2] * height * width),
        standard_error=float(standard_error(together[:, None])) if len(together) > 1 else None,
        score_domain=domain,
        scored_size=(width, height),
        parts=places,
        known_values=known,
        unknown_values=unknown,
    )


def estimator_of(model: CAFlow, noise_samples: int) -> dict[str, str | int]:
    """How a model's log-likelihoods are estimated, as fields for JSON."""
    kind = model.config.flow.dequantization
    return {"dequantization": kind, "noise_samples": noise_samples, "bound": _BOUNDS[kind]}


def task_of(model: CAFlow, sampling: Sampling | None = None) -> Task:
    """The task that the model was trained for, with candidates consistent if `sampling` says so.

    Raises:
        CaflowError: (exit 2) `model` is a name or path, not a loaded model.
    """
    if isinstance(model, str | Path):
        raise usage_error(
            f"the model is {str(model)!r}, a name, not a loaded model",
            f"model = caflow_cli.load({str(model)!r})",
        )
    task = get_task(model.config)
    return task if sampling is None else task.made_consistent(sampling.consistent)
