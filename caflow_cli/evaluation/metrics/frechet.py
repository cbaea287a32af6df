"""Distances between two sets of pictures: FID and KID through torchmetrics, and coverage.

torchmetrics is part of the extra `fid`; `load_extractor` checks that it is installed.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ...errors import CaflowError
from ..estimates import Estimate
from .coverage import coverage
from .features import Extractor
from .set_features import SetFeatures

__all__ = ["cautions", "distances", "fid", "kid"]

_FEW = 2048  # below this many images a covariance of 2,048 features has no full rank
_SUBSETS, _SUBSET_SIZE = 100, 1000


def distances(
    names: Sequence[str], extractor: Extractor, generated: SetFeatures, reference: SetFeatures
) -> tuple[dict[str, Estimate], dict[str, float]]:
    """`fid`, `kid` and `coverage` by label; beside them KID's deviation over subsets, density."""
    values: dict[str, Estimate] = {}
    extra: dict[str, float] = {}
    for name in names:
        label = extractor.label(name)
        if name == "fid":
            values[label] = Estimate(fid(generated, reference), None, generated.count)
        elif name == "coverage":
            share, density = coverage(generated, reference)
            values[label] = Estimate(share, None, generated.count)
            extra[f"{label}_density"] = density
        else:
            mean, deviation = kid(generated, reference)
            values[label] = Estimate(mean, None, generated.count)
            extra[f"{label}_subset_deviation"] = deviation
    return values, extra


def cautions(sets: Sequence[SetFeatures]) -> list[str]:
    """Notes for a reader of the distances."""
    notes = []
    least = min(features.count for features in sets)
    known = all(features.count_is_known for features in sets)
    if known and least < _FEW:
        notes.append(
            f"{least} pictures are few for a distance of sets: below {_FEW:,} FID is biased "
            "upwards, and compares only at equal numbers"
        )
    if not known:
        notes.append("a file of statistics does not say how many pictures it is of")
    return notes


def fid(generated: SetFeatures, reference: SetFeatures) -> float:
    """`|m - m'|² + tr(C + C' - 2 (C C')^½)` of means and covariances, by torchmetrics in float64.

    Raises:
        CaflowError: A set has fewer than two images.
    """
    from torchmetrics.image.fid import FrechetInceptionDistance

    _check(generated, reference)
    metric = FrechetInceptionDistance(feature=_Given(len(reference.sum)))
    for prefix, features in (("real", reference), ("fake", generated)):
        setattr(metric, f"{prefix}_features_sum", features.sum)
        setattr(metric, f"{prefix}_features_cov_sum", features.products)
        setattr(metric, f"{prefix}_features_num_samples", torch.tensor(features.count))
    metric.orig_dtype = torch.float64  # of the features, which `update` would have seen
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that `update` was not called
        return float(metric.compute())


def kid(generated: SetFeatures, reference: SetFeatures) -> tuple[float, float]:
    """Mean and standard deviation over random subsets of the unbiased squared MMD, by torchmetrics.

    The kernel is `(x·y / d + 1)³`. There are 100 subsets of at most 1,000 features from each set,
    drawn with a fixed seed, or one subset if each would hold both sets whole. Float64.

    Raises:
        CaflowError: A set has fewer than two images, or consists of statistics only.
    """
    from torchmetrics.image.kid import KernelInceptionDistance

    _check(generated, reference)
    features = generated.features, reference.features
    size = min(_SUBSET_SIZE, *map(len, features))
    subsets = 1 if all(len(part) == size for part in features) else _SUBSETS
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")  # that it keeps all features
        torch.manual_seed(0)
        metric = KernelInceptionDistance(
            feature=_Given(features[0].shape[1]), subsets=subsets, subset_size=size
        )
        for part, real in zip(features, (False, True), strict=True):
            metric.update(part, real=real)
        mean, deviation = metric.compute()
    return float(mean), float(deviation)


def _check(generated: SetFeatures, reference: SetFeatures) -> None:
    for features, name in ((generated, "generated"), (reference, "reference")):
        if features.count < 2:
            raise CaflowError(
                f"the {name} set has {features.count} pictures, too few for a distance of sets",
                "give at least two, better 2,048",
            )


class _Given(nn.Module):
    """The identity, in place of the network that torchmetrics expects: the inputs are features."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        return features
