"""Sets of images by their features: FID and KID by torchmetrics, density and coverage.

    B_j = { f : |f - f_j| <= r_j },  r_j the distance of truth j to its k-th nearest other truth

    coverage = 1/N  Σ_j  [ a generated f_i lies in B_j ]
    density  = 1/(k M)  Σ_i Σ_j  [ f_i lies in B_j ]

f are features of an extractor, f_j those of N truths, f_i those of M generated images (Naeem et al.
2020). k is 5, or N - 1 where there are fewer than six truths. Coverage is within 0 and 1, density
from 0 up. If both sets have one distribution, then on average density is 1, and coverage is

    1 - Π_{s=1..k} (N - s) / (N + M - s)

which is 0.97 for large sets of equal size, and above 0.999 if M is five times N.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ...errors import CaflowError, usage_error
from ...images import atomic_write
from ..result import Estimate
from .features import Extractor

__all__ = ["SetFeatures", "cautions", "coverage", "distances", "fid", "kid", "own_coverage"]

_KEEPING = ("kid", "coverage")  # the metrics that need features themselves
_RESERVOIR = 10_000  # features of a set that these see
_FEW = 2048  # below this many images a covariance of 2,048 features has no full rank
_SUBSETS, _SUBSET_SIZE = 100, 1000
_NEIGHBOURS = 5
_ROWS = 500  # of a matrix of distances, in memory at a time


class SetFeatures:
    """Streamed float64 statistics of a set. Their size does not depend on the number of images.

    They are the sums and products of all features and, for KID and coverage, a uniform random
    sample of at most 10,000 features, drawn by a separate generator.

    Args:
        extractor: Its name.
        metrics: What is computed from them.
    """

    def __init__(self, extractor: str, metrics: Sequence[str] = ()) -> None:
        self.extractor = extractor
        self.count = 0
        self.count_is_known = True
        self.sum = torch.zeros(0, dtype=torch.float64)
        self.products = torch.zeros(0, 0, dtype=torch.float64)
        self._kept: list[Tensor] | None = [] if set(_KEEPING) & set(metrics) else None
        self._generator = torch.Generator().manual_seed(0)

    def add(self, features: Tensor) -> None:
        """Add features, (B, d)."""
        features = features.double()
        if not self.count:
            d = features.shape[1]
            self.sum, self.products = self.sum.new_zeros(d), self.products.new_zeros(d, d)
        self.sum += features.sum(0)
        self.products += features.T @ features
        for row in features:
            if self._kept is not None:
                self._keep(self._kept, row)
            self.count += 1

    def _keep(self, kept: list[Tensor], row: Tensor) -> None:
        if len(kept) < _RESERVOIR:
            kept.append(row.clone())
            return
        place = int(torch.randint(self.count + 1, (), generator=self._generator))
        if place < _RESERVOIR:
            kept[place] = row.clone()

    @property
    def keeps_all(self) -> bool:
        """Whether the kept features are those of every image, in their order."""
        return self._kept is not None and len(self._kept) == self.count

    @property
    def features(self) -> Tensor:
        """The kept features, (at most 10,000, d)."""
        if not self._kept:
            raise usage_error(
                "KID and coverage need the images, not their statistics", "--metric fid"
            )
        return torch.stack(self._kept)

    def save(self, path: Path) -> None:
        """Write an .npz of mu, sigma, n and extractor. CaflowError if that fails."""
        if self.count < 2:
            raise usage_error("statistics need two images", "give a larger set")
        mean = self.sum / self.count
        sigma = (self.products - self.count * torch.outer(mean, mean)) / (self.count - 1)
        buffer = io.BytesIO()
        np.savez(
            buffer,
            mu=mean.numpy(),
            sigma=sigma.numpy(),
            n=np.int64(self.count),
            extractor=np.str_(self.extractor),
        )
        atomic_write(path, buffer.getvalue())

    @classmethod
    def load(cls, path: Path, extractor: str) -> SetFeatures:
        """Read the statistics of an .npz: ours, or only mu and sigma as pytorch-fid writes them.

        Raises:
            CaflowError: (exit 2) the file has no statistics, or those of another extractor.
        """
        bad = usage_error(
            f"{str(path)!r} holds no statistics",
            "give a file that --save-stats wrote: mu, sigma, n, extractor",
        )
        try:
            with np.load(path, allow_pickle=False) as file:
                mean, covariance = (
                    torch.from_numpy(np.asarray(file[key], np.float64)) for key in ("mu", "sigma")
                )
                known = "n" in file
                # If n is not stated, any will do: FID does not depend on it.
                count = int(file["n"]) if known else 2
                name = str(file["extractor"]) if "extractor" in file else "inception"
        except Exception as error:  # a broken zip raises whatever that leads its reader to
            raise bad from error
        d = mean.numel()
        if mean.shape != (d,) or covariance.shape != (d, d) or count < 2 or not d:
            raise bad
        if not (mean.isfinite().all() and covariance.isfinite().all()):
            raise bad
        if name != extractor:
            raise usage_error(
                f"{str(path)!r} holds statistics of extractor {name!r}, not {extractor!r}",
                f"--feature-extractor {name}",
            )
        result = cls(name)
        result.count, result.count_is_known = count, known
        result.sum = mean * count
        result.products = covariance * (count - 1) + count * torch.outer(mean, mean)
        return result


def distances(
    names: Sequence[str], extractor: Extractor, generated: SetFeatures, reference: SetFeatures
) -> tuple[dict[str, Estimate], dict[str, float]]:
    """`fid`, `kid` and `coverage` by label; beside them KID's deviation over subsets, density."""
    values: dict[str, Estimate] = {}
    extra: dict[str, float] = {}
    for name in names:
        label = extractor.label(name)
        if name == "fid":
            value = fid(generated, reference)
        elif name == "coverage":
            value, extra[f"{label}_density"] = coverage(generated, reference)
        else:
            value, extra[f"{label}_subset_deviation"] = kid(generated, reference)
        values[label] = Estimate(value, None, generated.count)
    return values, extra


def cautions(sets: Sequence[SetFeatures]) -> list[str]:
    """Notes for a reader of the distances."""
    if not all(features.count_is_known for features in sets):
        return ["a file of statistics does not say how many images it is of"]
    least = min(features.count for features in sets)
    if least >= _FEW:
        return []
    return [
        f"{least} images are few for a distance of sets: below {_FEW:,} FID is biased upwards, and "
        "compares only at equal numbers"
    ]


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


def coverage(generated: SetFeatures, reference: SetFeatures) -> tuple[float, float]:
    """Coverage and density of a generated set, both better if higher.

    Args:
        generated: With at least one image, and kept features.
        reference: The truths, with at least two images, and kept features.

    Raises:
        CaflowError: (exit 2) a set consists of statistics only.
    """
    made, true = generated.features, reference.features
    radii = _radii(true)
    covered, inside = 0, 0
    for rows, radius in zip(true.split(_ROWS), radii.split(_ROWS), strict=True):
        within = _distances(rows, made) <= radius[:, None]
        covered += int(within.any(1).sum())
        inside += int(within.sum())
    return covered / len(true), inside / (min(_NEIGHBOURS, len(true) - 1) * len(made))


def own_coverage(nearest: Sequence[float], reference: SetFeatures) -> float:
    """The share of truths whose ball holds an image drawn for that truth's own condition.

    Args:
        nearest: Distance of each truth to the nearest image of its own condition, in the truths'
            order.
        reference: The truths, with kept features, all of them.
    """
    within = torch.tensor(nearest, dtype=torch.float64) <= _radii(reference.features)
    return float(within.double().mean())


def _radii(true: Tensor) -> Tensor:
    """The radius of each truth's ball, (N,)."""
    k = min(_NEIGHBOURS, len(true) - 1)
    # A truth is its own nearest: hence k + 1.
    return torch.cat(
        [_distances(rows, true).kthvalue(k + 1, 1).values for rows in true.split(_ROWS)]
    )


def _distances(a: Tensor, b: Tensor) -> Tensor:
    # Differences, not products: an image's distance to itself is exactly 0.
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")


def _check(generated: SetFeatures, reference: SetFeatures) -> None:
    for features, name in ((generated, "generated"), (reference, "reference")):
        if features.count < 2:
            raise CaflowError(
                f"the {name} set has {features.count} images, too few for a distance of sets",
                "give at least two, better 2,048",
            )


class _Given(nn.Module):
    """The identity, in place of the network that torchmetrics expects: the inputs are features."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        return features
