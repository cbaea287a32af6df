"""Metrics that are formulas of uint8 batches (B, 3, H, W)."""

from __future__ import annotations

import torch
from torch import Tensor

from ...errors import CaflowError

__all__ = ["central_share", "check_pairs", "diversity", "psnr", "rank_histogram", "rmse", "ssim"]

_PEAK = 255.0
_WINDOW = 11  # of SSIM


def check_pairs(images: Tensor, references: Tensor) -> None:
    """CaflowError unless both are uint8 (B, 3, H, W) of one shape."""
    if images.shape != references.shape or images.ndim != 4 or images.shape[1] != 3:
        raise CaflowError(
            f"images have shape {tuple(images.shape)}, references {tuple(references.shape)}",
            "pass two batches (B, 3, H, W) of one shape",
        )
    for batch in (images, references):
        if batch.dtype != torch.uint8:
            raise CaflowError(f"images are {batch.dtype}", "pass uint8 images, 0-255")


def rmse(images: Tensor, references: Tensor) -> Tensor:
    """Root mean square error of each image, in levels of 0-255: (B,) float64, lower is better.

    The figure of a set is the mean over its images (paper table 1).

    Args:
        images, references: uint8 (B, 3, H, W).
    """
    check_pairs(images, references)
    return (images.double() - references.double()).square().flatten(1).mean(1).sqrt()


def psnr(images: Tensor, references: Tensor) -> Tensor:
    """`20 log10(255 / rmse)` of each image in dB: (B,) float64, infinite for equal images.

    Args:
        images, references: uint8 (B, 3, H, W).
    """
    return 20 * (_PEAK / rmse(images, references)).log10()


def ssim(images: Tensor, references: Tensor) -> Tensor:
    """Structural similarity of each image: (B,) float64, 1 for equal images.

    Wang et al. 2004: Gaussian window of 11×11 with σ = 1.5, K1 = 0.01, K2 = 0.03, range 255,
    population covariances; the mean over channels and over the windows that lie inside the image.

    Args:
        images, references: uint8 (B, 3, H, W), sides of at least 11.

    Raises:
        CaflowError: A side is shorter than the window.
    """
    check_pairs(images, references)
    height, width = images.shape[-2:]
    if min(height, width) < _WINDOW:
        raise CaflowError(
            f"SSIM of {width}x{height} pixels has no whole window of 11x11",
            "leave out --metric ssim",
        )
    x, y = images.double(), references.double()
    rows, columns = _windows(height), _windows(width)

    def local_mean(values: Tensor) -> Tensor:
        # As two products of matrices: a tenth of the time of a convolution in float64.
        return rows @ values @ columns.T

    mx, my = local_mean(x), local_mean(y)
    vx, vy = local_mean(x * x) - mx * mx, local_mean(y * y) - my * my
    covariance = local_mean(x * y) - mx * my
    c1, c2 = (0.01 * _PEAK) ** 2, (0.03 * _PEAK) ** 2
    similarity = (2 * mx * my + c1) / (mx * mx + my * my + c1)
    similarity = similarity * (2 * covariance + c2) / (vx + vy + c2)
    return similarity.flatten(1).mean(1)


def _windows(length: int) -> Tensor:
    """The Gaussian window at each place where it fits, (length - 10, length) float64."""
    offsets = torch.arange(_WINDOW, dtype=torch.float64) - _WINDOW // 2
    window = (-0.5 * (offsets / 1.5) ** 2).exp()
    count = length - _WINDOW + 1
    result = torch.zeros(count, length, dtype=torch.float64)
    for place in range(count):
        result[place, place : place + _WINDOW] = window / window.sum()
    return result


def diversity(candidates: Tensor) -> float:
    """Spread of M candidates in levels: `sqrt(mean over values of the variance over candidates)`.

    Args:
        candidates: uint8 (M, 3, H, W), M of at least 2; the variance has the divisor M - 1.
    """
    return float(candidates.double().var(0).mean().sqrt())


def rank_histogram(
    candidates: Tensor, truth: Tensor, where: Tensor | None = None
) -> tuple[Tensor, int]:
    """The histogram of the true value's rank among the candidates' values at the same place.

    If truth and candidates have the same distribution, all M + 1 ranks are equally likely. A truth
    that ties with e candidates counts 1 / (e + 1) for each possible rank.

    Args:
        candidates: uint8 (M, C, H, W).
        truth: uint8 (C, H, W).
        where: bool (H, W), the pixels that count; default all.

    Returns:
        Shares, (M + 1,) float64, that sum to 1; and the number of values counted.
    """
    m = candidates.shape[0]
    if where is not None:
        candidates, truth = candidates[:, :, where], truth[:, where]
    below = (candidates < truth).sum(0).flatten()
    equal = (candidates == truth).sum(0).flatten()
    joint = torch.bincount(below * (m + 1) + equal, minlength=(m + 1) ** 2)
    histogram = torch.zeros(m + 1, dtype=torch.float64)
    for index in joint.nonzero().flatten().tolist():
        first, ties = divmod(index, m + 1)
        histogram[first : first + ties + 1] += joint[index].item() / (ties + 1)
    count = truth.numel()
    return histogram / max(count, 1), count


def central_share(histogram: Tensor, share: float) -> float:
    """The share of true values in the central part `share` of the candidates' distribution.

    Rank r of M + 1 stands for the interval from r / (M + 1) to (r + 1) / (M + 1), over which the
    mass of the histogram is spread. The result is the mass between `(1 - share) / 2` and `(1 +
    share) / 2`. If truth and candidates have the same distribution, this is `share`, whatever M is.
    """
    bins = len(histogram)
    edges = torch.arange(bins + 1, dtype=torch.float64) / bins
    inside = edges.clamp((1 - share) / 2, (1 + share) / 2).diff() * bins
    return float((histogram * inside).sum())
