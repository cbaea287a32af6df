"""The likelihood of a pair of images, which `score` states and which ranks candidates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..errors import EXIT_USAGE, CaflowError, usage_error
from ..model import CAFlow, bits_per_dim, standard_error
from ..sampling import check_noise_samples
from ..tasks import Part, Pixels, Place, Task, get_task
from .arguments import ImageLike, as_image, as_mask
from .draw import OnePiece, Steps
from .tiles import InTiles, check_size, read_conditions

__all__ = [
    "BATCH_PIXELS",
    "Nats",
    "Score",
    "check_mask",
    "estimator_of",
    "nats_of",
    "score",
    "score_of",
    "task_of",
    "to_batch",
]

BATCH_PIXELS = 2**18  # that the model works on at a time

_BOUNDS = {
    "uniform": "mean over draws of log p(w + u | y)",
    "variational": "log of the mean over draws of p(w + u | y) / q(u | w)",
}


@dataclass(frozen=True)
class Score:
    """log p(w|y) of the reduced pair, on the 8-bit scale.

    A hole that is filled in parts has one pair a part. By the chain rule the sum of their scores is
    the log-density of the whole fill, in the order of the parts. A part that is shrunk says only
    what the model reads of it, so the sum has no likelihood then. Neither has a pair that is too
    large for one piece: it is scored in tiles, which have no joint density.
    """

    rank_score: float  # nats: log_likelihood, or the sum over tiles or parts
    log_likelihood: float | None  # nats; None in tiles, and in parts some of which are shrunk
    bits_per_dim: float | None
    standard_error: float | None  # of log_likelihood over the K noise draws, nats; None for K = 1
    score_domain: str  # "image": the image itself; "reduced": padded or shrunk to model size;
    # "tiles": in overlapping tiles; "parts": the windows onto a hole
    scored_size: tuple[int, int]  # width, height; of a part
    parts: tuple[Place, ...] = ()  # the windows onto a hole, in the order of filling

    @property
    def pixels(self) -> int:
        """How many were scored, of all parts."""
        width, height = self.scored_size
        return width * height * max(1, len(self.parts))

    @property
    def summary(self) -> str:
        """A text for people: `-30500.1 nats, 3.581 bits/dim`."""
        if self.log_likelihood is None or self.bits_per_dim is None:
            return f"rank score {self.rank_score:.1f} nats, in {self.score_domain}"
        return f"{self.log_likelihood:.1f} nats, {self.bits_per_dim:.3f} bits/dim"


def task_of(model: CAFlow) -> Task:
    """The task that the model was trained for.

    Raises:
        CaflowError: (exit 2) `model` is the name of one, which was not loaded.
    """
    if isinstance(model, str | Path):
        raise CaflowError(
            f"the model is {str(model)!r}, a name: nothing is loaded",
            f"model = caflow_cli.load({str(model)!r})",
            EXIT_USAGE,
        )
    return get_task(model.config)


def check_mask(task: Task, given: bool) -> None:
    """CaflowError (exit 2) for a missing mask, or for a mask that the task does not take."""
    if given and not task.needs_mask:
        raise usage_error(f"{task.name} takes no mask", "leave --mask out")
    if task.needs_mask and not given:
        raise usage_error(
            f"{task.name} needs a mask", "--mask FILE, white where the image is to be filled"
        )


def to_batch(images: Sequence[Pixels]) -> Tensor:
    """Stack uint8 (H, W, C) arrays of one size to a (B, C, H, W) tensor.

    One alone is no copy, if it may be written to.
    """
    alone = len(images) == 1 and images[0].flags.writeable  # PyTorch warns of others
    stacked = images[0][None] if alone else np.stack(images)
    return torch.from_numpy(stacked).permute(0, 3, 1, 2)


def score(
    model: CAFlow,
    condition: ImageLike,
    target: ImageLike,
    mask: ImageLike | None = None,
    *,
    noise_samples: int = 1,
) -> Score:
    """Score a target against the image that it was made from.

    Args:
        model: Any model, as `caflow_cli.load` loads it by name.
        condition: The task's input, such as the small image for superres: a path, a PIL image, or
            an array, uint8 (H, W, 3); see `as_image`.
        target: Likewise, uint8 (H', W', 3).
        mask: For inpaint: likewise, uint8 (H, W), 128 and up where the image was filled.
        noise_samples: K.

    Examples:
        >>> import caflow_cli as caflow
        >>> from caflow_cli.assets import example_path
        >>> face, small = example_path("face_64"), example_path("face")
        >>> score = caflow.score(caflow.load("faces-superres-x4"), small, face)
        >>> f"{score.log_likelihood:.0f} nats, {score.bits_per_dim:.3f} bits/dim"
        '-30500 nats, 3.581 bits/dim'

    Raises:
        CaflowError: The target or the mask does not fit the condition.
    """
    check_noise_samples(noise_samples)
    condition, target, mask = as_image(condition), as_image(target), as_mask(mask)
    task = task_of(model)
    check_mask(task, mask is not None)
    height, width = size = task.model_size(condition, mask)
    check_size(size)
    parts = task.parts(condition, mask)
    at_a_time = max(1, BATCH_PIXELS // (height * width))
    nats: list[Nats] = []
    for first in range(0, len(parts), at_a_time):
        pairs = [part.reduce(condition, target) for part in parts[first : first + at_a_time]]
        cond, targets = (to_batch(side) for side in zip(*pairs, strict=True))
        nats += nats_of(read_conditions(model, cond), targets, noise_samples)
    if not all(math.isfinite(one.value) for one in nats):
        raise CaflowError(
            "a log-likelihood is not finite: the image is too far from what the model knows",
            "try another image, or another --model",
        )
    return score_of(nats, parts, size, target)


def estimator_of(model: CAFlow, noise_samples: int) -> dict[str, str | int]:
    """The method by which a model's log-likelihoods are estimated, as JSON states it."""
    kind = model.config.flow.dequantization
    return {"dequantization": kind, "noise_samples": noise_samples, "bound": _BOUNDS[kind]}


class Nats(NamedTuple):
    """The log-likelihood of one part, and what each of the K noise draws says of it."""

    value: float
    deviations: Tensor | None  # (K,), see `CAFlow.log_prob_with_deviations`; None in tiles


def nats_of(
    conditions: OnePiece | InTiles,
    targets: Tensor,
    noise_samples: int,
    steps: Steps | None = None,
) -> list[Nats]:
    """Score reduced targets under the conditions that they were reduced with.

    Args:
        conditions: One for each target, or one for each group of neighbouring targets, all groups
            of one size.
        targets: uint8 (B, C, H, W).
        noise_samples: K.
        steps: Counts.
    """
    values, deviations = conditions.log_prob(targets, noise_samples, steps)
    if deviations is None:
        return [Nats(value, None) for value in values]
    return [Nats(*pair) for pair in zip(values, deviations.unbind(1), strict=True)]


def score_of(
    nats: Sequence[Nats], parts: Sequence[Part], size: tuple[int, int], image: Pixels
) -> Score:
    """The score of an image from those of its parts.

    Args:
        nats: One a part.
        parts: All of the image.
        size: Height and width at which each is scored.
        image: uint8 (H', W', C), as it was before it was reduced.
    """
    (height, width), count = size, len(parts)
    places = tuple(part.place for part in parts if part.place is not None)
    total = sum((one.value for one in nats[1:]), nats[0].value)
    deviations = [one.deviations for one in nats if one.deviations is not None]
    if len(deviations) < count:
        return Score(total, None, None, None, "tiles", (width, height), places)
    if count > 1 and any(place.shrunk for place in places):
        return Score(total, None, None, None, "parts", (width, height), places)
    # The parts have the noise in common, so their errors do not add up like independent ones.
    together = torch.stack(deviations).sum(0)
    channels = image.shape[2]
    domain = "image" if image.shape == (height, width, channels) else "reduced"
    return Score(
        rank_score=total,
        log_likelihood=total,
        bits_per_dim=bits_per_dim(total, count * channels * height * width),
        standard_error=float(standard_error(together[:, None])) if len(together) > 1 else None,
        score_domain=domain if count == 1 else "parts",
        scored_size=(width, height),
        parts=places,
    )
