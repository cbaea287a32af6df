"""Distances of sets of images by their features: FID, KID, density and coverage.

    B_j = { f : |f - f_j| <= r_j },  r_j the distance of truth j to its k-th nearest other truth

    coverage = 1/N  Σ_j  [ a generated f_i lies in B_j ]
    density  = 1/(k M)  Σ_i Σ_j  [ f_i lies in B_j ]

f are features of an extractor, f_j those of N truths, f_i those of M generated images (Naeem et al.
2020). k is 5, or N - 1 if there are fewer than six truths. Coverage lies in [0, 1], density in
[0, ∞). If both sets have the same distribution, the expected density is 1, and that of coverage is

    1 - Π_{s=1..k} (N - s) / (N + M - s)

which is 0.97 for large sets of equal size, and above 0.999 if M is five times N.
"""

import torch
from torch import Tensor

_FEW = 2048  # with fewer images, a covariance of 2,048 features is rank-deficient
_SUBSETS = 100
_SUBSET_SIZE = 1000
_NEIGHBORS = 5
_ROWS = 500  # rows of a distance matrix in memory at a time


def few_images(images: int) -> list[str]:
    """A caveat for distances between sets of so few images; empty if there are enough."""
    if images >= _FEW:
        return []
    return [
        f"{images} images are few for a distance between sets: below {_FEW:,}, FID is biased "
        "upwards, and comparable only at equal numbers"
    ]


def fid(generated: Tensor, reference: Tensor) -> float:
    """Fréchet distance `|m - m'|² + tr(C + C' - 2 (C C')^½)` of means and covariances."""
    ours = generated.T.cov()
    theirs = reference.T.cov()
    eigenvalues = torch.linalg.eigvals(theirs @ ours)
    root = eigenvalues.sqrt().real.sum()
    apart = reference.mean(0) - generated.mean(0)
    traces = theirs.trace() + ours.trace()
    return float(apart.square().sum() + traces - 2 * root)


def kid(generated: Tensor, reference: Tensor) -> tuple[float, float]:
    """Mean and standard deviation of the unbiased squared MMD over random subsets.

    The kernel is `(x·y / d + 1)³`. There are 100 subsets of at most 1,000 features from each set,
    drawn with a fixed seed; or just one, if it contains both sets entirely.
    """
    from torchmetrics.image.kid import poly_mmd

    n = min(_SUBSET_SIZE, len(reference), len(generated))
    whole = len(reference) == len(generated) == n
    generator = torch.Generator().manual_seed(0)
    subsets = []
    for _ in range(1 if whole else _SUBSETS):
        of_reference = torch.randperm(len(reference), generator=generator)[:n]
        of_generated = torch.randperm(len(generated), generator=generator)[:n]
        distance = poly_mmd(reference[of_reference], generated[of_generated])
        subsets.append(distance)
    values = torch.stack(subsets)
    return float(values.mean()), float(values.std(correction=0))


def coverage(generated: Tensor, reference: Tensor) -> tuple[float, float]:
    """Coverage and density of a generated set, both better if higher."""
    covered = 0
    inside = 0
    parts = reference.split(_ROWS)
    radii = _radii(reference).split(_ROWS)
    for rows, radius in zip(parts, radii, strict=True):
        within = _distances(rows, generated) <= radius[:, None]
        covered += int(within.any(1).sum())
        inside += int(within.sum())
    neighbors = min(_NEIGHBORS, len(reference) - 1)
    density = inside / (neighbors * len(generated))
    return covered / len(reference), density


def _radii(true: Tensor) -> Tensor:
    k = min(_NEIGHBORS, len(true) - 1)
    radii = []
    for rows in true.split(_ROWS):
        nearest = _distances(rows, true).kthvalue(k + 1, dim=1)  # the nearest is itself
        radii.append(nearest.values)
    return torch.cat(radii)


def _distances(a: Tensor, b: Tensor) -> Tensor:
    # By differences, not products, so that an image's distance to itself is exactly 0.
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")
