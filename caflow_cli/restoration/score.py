"""The log-likelihood of a pair of images: the result of `score`, and what ranks candidates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any, Literal, TypedDict

import torch

from ..errors import ensure
from ..images import Pixels
from ..model import CAFlow, bits_per_dim, standard_error
from ..records import Count
from ..tasks import Place
from ..tasks.tiles import LazyImage
from .conditions import Conditions, PartScore, to_batch
from .request import Request, conditions_of

# How densities of 16 bits are to be read.
DEPTH_RULE = (
    "values that the input determines are measured in bins, all others in levels of 8 bits, so "
    "log P(stored) = log p - log 256 x unknown values"
)
_BATCH = 2**18  # pixels per batch, at the model's size
_BOUNDS = {  # by the dequantization, or of fields
    "uniform": "mean over draws of log p(w + u | y)",
    "variational": "log of the mean over draws of p(w + u | y) / q(u | w)",
    "fields": "mean over draws of log q(h) + sum over dry cells of log P(dry) - log N(h), + sum "
    "over wet cells of log S'(g) + log T'(x)",
}


@dataclass(frozen=True)
class Score:
    """log p(w|y) of the reduced pair, on the 8-bit scale.

    A hole that is filled in parts has one pair per part. By the chain rule, the sum of their
    scores is the log-density of the whole fill, in the order of the parts. If a part is shrunk, its
    score covers only what the model reads, so the sum is not a log-likelihood. Nor is that of a
    pair too large for one pass: it is scored in tiles, which have no joint density.
    """

    # nats: log_likelihood, or the sum over tiles or parts; None for a candidate in tiles that was
    # not scored, because there was no other, and for one that the guide predicts in part
    rank_score: float | None
    log_likelihood: float | None  # nats; None for tiles, and for several parts if one is shrunk
    bits_per_dim: float | None
    standard_error: float | None  # of log_likelihood over the K noise draws, nats; None for K = 1
    score_domain: str  # "image": the image itself; "reduced": padded or shrunk to model size;
    # "tiles": in overlapping tiles; "parts": the windows onto a hole
    scored_size: tuple[int, int]  # width and height of a scored part
    parts: tuple[Place, ...] = ()  # the windows onto a hole, in the order of filling
    known_values: int | None = None  # inpainting: scored values that the condition determines (only
    # their dequantization noise costs nats); and all others, which are counted in any task of depth
    unknown_values: int | None = None  # 16
    score_exact: bool = True  # whether the scored pixels are those that were written
    depth: int = 8  # bits per channel; with 16, known values are measured in bins of 1/256
    # Of a measured field, whose density is one in its unit to the power -wet: so fields with
    # different numbers of wet cells are not comparable. Cells without a value are left out.
    unit: str | None = None
    wet: int | None = None  # number of wet cells
    dry: int | None = None

    @property
    def missing(self) -> Score:
        """The same of an image that has no score."""
        return replace(
            self, rank_score=None, log_likelihood=None, bits_per_dim=None, standard_error=None
        )

    @property
    def summary(self) -> str:
        """A human-readable summary: `-30881.2 nats, 3.626 bits/dim`."""
        if self.rank_score is None:
            return "not scored"
        if self.unit is not None:
            return f"{self.rank_score:.1f} nats in ({self.unit})^-{self.wet}, {self.dry} dry"
        if self.log_likelihood is None or self.bits_per_dim is None:
            return f"rank score {self.rank_score:.1f} nats, in {self.score_domain}"
        return f"{self.log_likelihood:.1f} nats, {self.bits_per_dim:.3f} bits/dim"

    def as_json(self) -> dict[str, Any]:
        """All values, without the parts, and without those that only some scores have."""
        values = asdict(self)
        del values["parts"]
        if self.depth != 16:
            del values["depth"]
        for key in ("standard_error", "known_values", "unknown_values", "unit", "wet", "dry"):
            if values[key] is None:
                del values[key]
        return values


class Estimator(TypedDict):
    """Scores of different estimators are not comparable."""

    dequantization: Literal["uniform", "variational"]
    noise_samples: Count
    bound: Annotated[str, "What log_likelihood estimates."]


def estimator_of(model: CAFlow, draws: int = 1, depth: int = 8) -> Estimator:
    """How a model's log-likelihoods are estimated, as fields for JSON."""
    kind = model.config.flow.dequantization
    bound = _BOUNDS["fields" if model.of_field else kind]
    if depth == 16:
        bound += f"; {DEPTH_RULE}"
    return {"dequantization": kind, "noise_samples": draws, "bound": bound}


def score_images(
    requests: Sequence[Request],
    conditions: Conditions,
    images: Sequence[Pixels],
) -> list[Score]:
    """Score one composed image, uint8 (H, W, 3), per request, as it says.

    Raises:
        CaflowError: An image does not fit its request, or a score is not finite.
    """
    places = [
        (row, number)
        for number in range(max(len(request.parts) for request in requests))
        for row, request in enumerate(requests)
        if number < len(request.parts)
    ]
    of_parts: list[list[PartScore]] = [[] for _ in requests]
    step = max(1, _BATCH // math.prod(requests[0].size))
    for first in range(0, len(places), step):
        some = places[first : first + step]
        composed = [(requests[row], number, images[row]) for row, number in some]
        scores = score_parts(composed, conditions)
        for (row, _), score in zip(some, scores, strict=True):
            ensure(
                math.isfinite(score.value),
                "a log-likelihood is not finite: the image is too unlike the training data",
                "try another image, or another --model",
            )
            of_parts[row].append(score)
    return list(map(total, requests, of_parts, images))


def score_parts(
    composed: Sequence[tuple[Request, int, Pixels]], known: Conditions
) -> list[PartScore]:
    """Score parts of composed images, grouped by request, as the pairs to which they reduce.

    Args:
        composed: For each: the request, the index of the part, and the image in which this part
            and all previous ones are composed.
        known: Conditions to reuse if the pairs have the same ones.
    """
    request, _, image = composed[0]
    if isinstance(known.cond, LazyImage):
        return known.log_prob(request.lazy_target(image), request.draws)
    pairs = [request.parts[k].reduce(request.image, image) for request, k, image in composed]
    cond, targets = (to_batch(side) for side in zip(*pairs, strict=True))
    per_condition = len(cond) // len(known.cond)
    if not torch.equal(cond, known.cond.repeat_interleave(per_condition, 0)):
        known = conditions_of(request, cond, known.steps)
    return known.log_prob(targets, request.draws)


def total(request: Request, of_parts: Sequence[PartScore], image: Pixels) -> Score:
    """Combine the log-likelihoods of all parts into the score of an image, uint8 (H, W, C).

    Without part scores, the image was not scored, and all values are None.
    """
    height, width = request.size
    places = tuple(part.place for part in request.parts if part.place is not None)
    nats = sum(score.value for score in of_parts) if of_parts else None
    depth = request.depth
    result = Score(nats, None, None, None, "tiles", (width, height), places, depth=depth)
    deviations = [score.deviations for score in of_parts if score.deviations is not None]
    if nats is None or len(deviations) < len(request.parts):
        return result
    dims = len(request.parts) * image.shape[2] * height * width
    counts = request.task.counts(request.image, image)
    domain = "image" if image.shape[:2] == request.size else "reduced"
    if len(request.parts) > 1:
        domain = "parts"
    values = [part.values for part in request.parts if part.values is not None]
    known, unknown = map(sum, zip(*values, strict=True)) if values else (None, None)
    if depth == 16:
        unknown = dims - _in_bins(request, dims, known or 0)
    result = replace(result, score_domain=domain, known_values=known, unknown_values=unknown)
    if len(request.parts) > 1 and any(place.shrunk for place in places):
        return result
    # All parts use the same noise, so their errors are not independent: sum them draw by draw.
    together = torch.stack(deviations).sum(0)
    return replace(
        result,
        log_likelihood=nats,
        bits_per_dim=None if counts else bits_per_dim(nats, dims),
        standard_error=float(standard_error(together[:, None])) if len(together) > 1 else None,
        **counts,
    )


def _in_bins(request: Request, dims: int, known: int) -> int:
    """How many of the scored values an anchor measures in bins, because it knows them."""
    in_bins = {"luminance": dims // 3, "pixels": known, "fill": known}
    return in_bins.get(request.model.config.flow.anchor, 0)
