"""Sets of images by their features: FID, KID, density and coverage.

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
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...errors import CaflowError, usage_error
from ...images import atomic_write
from ..result import Estimate
from .features import Extractor

__all__ = ["SetFeatures", "cautions", "coverage", "distances", "fid", "kid", "own_coverage"]

_KEEPING = ("kid", "coverage")  # the metrics that need features themselves
_RESERVOIR = 10_000  # features of a set that these see
_FEW = 2048  # below this many images a covariance of 2,048 features has no full rank
_FEW_IMAGES = "a set has {} images, too few for a distance of sets"
_SUBSETS, _SUBSET_SIZE = 100, 1000
_NEIGHBOURS = 5
_ROWS = 500  # of a matrix of distances, in memory at a time


class SetFeatures:
    """Streamed float64 statistics of a set: sums and products of all features and, if one of the
    metrics needs them, a uniform random sample of at most 10,000 features."""

    def __init__(self, extractor: str, metrics: Sequence[str] = ()) -> None:
        self.extractor = extractor
        self.count = 0
        self.count_is_known = True
        self.sum = self.products = torch.zeros((), dtype=torch.float64)
        self._kept: list[Tensor] | None = [] if set(_KEEPING) & set(metrics) else None
        self._generator = torch.Generator().manual_seed(0)

    def add(self, features: Tensor) -> None:
        """Add features, (B, d)."""
        features = features.double()
        self.sum = self.sum + features.sum(0)
        self.products = self.products + features.T @ features
        for row in features:
            if self._kept is not None:
                if len(self._kept) < _RESERVOIR:
                    self._kept.append(row.clone())
                elif (place := self._random(self.count + 1)) < _RESERVOIR:
                    self._kept[place] = row.clone()
            self.count += 1

    def _random(self, below: int) -> int:
        return int(torch.randint(below, (), generator=self._generator))

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

    @property
    def moments(self) -> tuple[Tensor, Tensor]:
        """Mean, (d,), and covariance, (d, d), with the divisor n - 1. CaflowError below n = 2."""
        if self.count < 2:
            raise CaflowError(_FEW_IMAGES.format(self.count), "give at least two, better 2,048")
        mean = self.sum / self.count
        return mean, (self.products - self.count * torch.outer(mean, mean)) / (self.count - 1)

    def save(self, path: Path) -> None:
        """Write an .npz of mu, sigma, n and extractor. CaflowError if that fails."""
        mean, sigma = self.moments
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
        """Read an .npz, ours or one of pytorch-fid (mu and sigma alone). CaflowError (exit 2) if it
        has no statistics, or those of another extractor."""
        try:
            with np.load(path, allow_pickle=False) as file:
                mean, covariance = (
                    torch.from_numpy(np.asarray(file[key], np.float64)) for key in ("mu", "sigma")
                )
                known = "n" in file
                # If n is not stated, any will do: FID does not depend on it.
                count = int(file["n"]) if known else 2
                name = str(file["extractor"]) if "extractor" in file else "inception"
            d, finite = mean.numel(), mean.isfinite().all() and covariance.isfinite().all()
            if not (d and count > 1 and finite):
                raise ValueError("out of range")
            mean, covariance = mean.view(d), covariance.view(d, d)
        except Exception as error:  # a broken zip raises whatever that leads its reader to
            raise usage_error(
                f"{str(path)!r} holds no statistics",
                "give a file that --save-stats wrote: mu, sigma, n, extractor",
            ) from error
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
    """`|m - m'|² + tr(C + C' - 2 (C C')^½)` of means and covariances, in float64."""
    (m, c), (mean, covariance) = generated.moments, reference.moments
    root = torch.linalg.eigvals(covariance @ c).sqrt().real.sum()
    return float((mean - m).square().sum() + covariance.trace() + c.trace() - 2 * root)


def kid(generated: SetFeatures, reference: SetFeatures) -> tuple[float, float]:
    """Mean and standard deviation over random subsets of the unbiased squared MMD, in float64.

    The kernel is `(x·y / d + 1)³`. There are 100 subsets of at most 1,000 features from each set,
    drawn with a fixed seed, or one subset if each would hold both sets whole.
    """
    sets = reference.features, generated.features
    n = min(_SUBSET_SIZE, *map(len, sets))
    if n < 2:
        raise CaflowError(_FEW_IMAGES.format(n), "give at least two, better 2,048")
    generator = torch.Generator().manual_seed(0)

    def kernel(x: Tensor, y: Tensor) -> Tensor:
        return (x @ y.T / x.shape[1] + 1) ** 3

    found = []
    for _ in range(1 if all(len(part) == n for part in sets) else _SUBSETS):
        x, y = (part[torch.randperm(len(part), generator=generator)[:n]] for part in sets)
        within = sum(kernel(z, z).fill_diagonal_(0).sum() for z in (x, y)) / (n * (n - 1))
        found.append(within - 2 * kernel(x, y).mean())
    return float(torch.stack(found).mean()), float(torch.stack(found).std(correction=0))


def coverage(generated: SetFeatures, reference: SetFeatures) -> tuple[float, float]:
    """Coverage and density of a generated set, both better if higher. Both sets have kept features;
    CaflowError (exit 2) if one consists of statistics only."""
    made, true = generated.features, reference.features
    radii = _radii(true)
    covered, inside = 0, 0
    for rows, radius in zip(true.split(_ROWS), radii.split(_ROWS), strict=True):
        within = _distances(rows, made) <= radius[:, None]
        covered += int(within.any(1).sum())
        inside += int(within.sum())
    return covered / len(true), inside / (min(_NEIGHBOURS, len(true) - 1) * len(made))


def own_coverage(generated: SetFeatures, reference: SetFeatures) -> float:
    """The share of truths whose ball holds an image drawn for that truth's own condition: of N for
    each truth, in the truths' order. Both sets keep all features."""
    true = reference.features
    apart = (generated.features.unflatten(0, (len(true), -1)) - true[:, None]).norm(dim=2)
    return float((apart.min(1).values <= _radii(true)).double().mean())


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
