"""Metrics that are formulas of uint8 batches (B, 3, H, W)."""

from __future__ import annotations

import torch
from torch import Tensor

from ...errors import CaflowError

__all__ = [
    "central_share",
    "check_pairs",
    "colourfulness",
    "diversity",
    "luma",
    "psnr",
    "psnr_hole",
    "psnr_y",
    "rank_histogram",
    "rmse",
    "ssim",
    "ssim_y",
]

_PEAK = 255.0
_WINDOW = 11  # of SSIM
_BORDER = 4  # pixels that the metrics of Y leave out at each side
# Y of YCbCr in "studio range", ITU-R BT.601: 16 for black, 235 for white.
_LUMA = torch.tensor([65.481, 128.553, 24.966], dtype=torch.float64) / 255
_BLACK = 16.0


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
    return _similarity(images.double(), references.double(), "ssim")


def luma(images: Tensor) -> Tensor:
    """Y of YCbCr by BT.601, from 16 to 235, not rounded: (B, 1, H, W) float64.

    `Y = 16 + (65.481 R + 128.553 G + 24.966 B) / 255`, with R, G and B from 0 to 255.

    Args:
        images: uint8 (B, 3, H, W).
    """
    return _BLACK + torch.einsum("c,bchw->bhw", _LUMA, images.double())[:, None]


def psnr_y(images: Tensor, references: Tensor) -> Tensor:
    """PSNR of Y in dB, as super-resolution is compared: (B,) float64, infinite for equal images.

    `20 log10(255 / rmse)` of the luma (BT.601, 16 to 235, not rounded), without the 4 pixels next
    to each border.

    Args:
        images, references: uint8 (B, 3, H, W), sides of at least 9.

    Raises:
        CaflowError: Nothing is left between the borders.
    """
    x, y = _inner_luma(images, references, 1, "psnr_y")
    error = (x - y).square().flatten(1).mean(1).sqrt()
    return 20 * (_PEAK / error).log10()


def ssim_y(images: Tensor, references: Tensor) -> Tensor:
    """Structural similarity of Y: (B,) float64. `ssim` of what `psnr_y` compares.

    Args:
        images, references: uint8 (B, 3, H, W), sides of at least 19.

    Raises:
        CaflowError: No whole window is left between the borders.
    """
    x, y = _inner_luma(images, references, _WINDOW, "ssim_y")
    return _similarity(x, y, "ssim_y")


def psnr_hole(images: Tensor, references: Tensor, hole: Tensor) -> Tensor:
    """`20 log10(255 / rmse)` over the pixels of a hole and their channels, in dB: (B,) float64.

    Args:
        images, references: uint8 (B, 3, H, W).
        hole: bool (H, W), true in at least one pixel.
    """
    check_pairs(images, references)
    error = (images.double() - references.double())[:, :, hole].square().flatten(1).mean(1).sqrt()
    return 20 * (_PEAK / error).log10()


def colourfulness(images: Tensor) -> Tensor:
    """The colourfulness M of each image (Hasler and Süsstrunk 2003), in levels: (B,) float64.

    `M = sqrt(σ_rg² + σ_yb²) + 0.3 sqrt(μ_rg² + μ_yb²)` with `rg = R - G` and `yb = (R + G) / 2 -
    B`; σ and μ are standard deviation and mean over the pixels. 0 for grey.

    Args:
        images: uint8 (B, 3, H, W).
    """
    red, green, blue = images.double().flatten(2).unbind(1)
    opponents = torch.stack([red - green, (red + green) / 2 - blue])
    spread = opponents.var(-1, correction=0).sum(0).sqrt()
    return spread + 0.3 * opponents.mean(-1).square().sum(0).sqrt()


def _inner_luma(
    images: Tensor, references: Tensor, least: int, metric: str
) -> tuple[Tensor, Tensor]:
    """Y of both, without the borders, sides of at least `least`."""
    check_pairs(images, references)
    height, width = images.shape[-2:]
    if min(height, width) < 2 * _BORDER + least:
        raise CaflowError(
            f"{width}x{height} pixels are too few for {metric}, which leaves out {_BORDER} at each "
            "border",
            f"leave out --metric {metric}",
        )
    inner = (..., slice(_BORDER, -_BORDER), slice(_BORDER, -_BORDER))
    return luma(images)[inner], luma(references)[inner]


def _similarity(x: Tensor, y: Tensor, metric: str) -> Tensor:
    """SSIM of float64 (B, C, H, W) of range 255: (B,)."""
    height, width = x.shape[-2:]
    if min(height, width) < _WINDOW:
        raise CaflowError(
            f"SSIM of {width}x{height} pixels has no whole window of 11x11",
            f"leave out --metric {metric}",
        )
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
