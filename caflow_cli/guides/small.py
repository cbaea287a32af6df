"""From an enlarged image back to the small one that it was made from."""

import functools

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..devices import to_float64, to_like

# Assumptions about images on the scale of 8 bits: their variance, and the correlation of
# neighboring pixels of the small one. The variance of rounding to bins is 1/12 of their width
# squared, once for each pass of the resizing.
_VARIANCE = 2000.0
_CORRELATION = 0.95
_ROUNDING = 2 / 12
_LEAST_TAPS = 12
_LEAST_FINE_TAPS = 16  # at factor 2, for 16 bits
# For 16 bits: corrections of the estimate, divided by the factor, and their momentum.
_CORRECTIONS = 32
_MOMENTUM = 0.6


def recover_small(y: Tensor, factor: int, width: float = 1.0) -> Tensor:
    """Recover the small image from its enlargement: `round(k * w)`, with the stored values w of y.

    y is the small image enlarged by Pillow's BICUBIC and rounded, plus the noise of training, which
    is removed first. k is one fixed kernel with a stride of `factor` (`kernel`); edges are
    replicated. For photographs, 97 % of the values come back exactly at factor 4 and 90 % at factor
    2 (at the border 94 and 86 %); nearly all others are off by one. The sums are computed in
    float64, so that rounding does not depend on the batch or the device.

    The fine kernel of 16 bits magnifies what it leaves out: edges, and values of the enlargement
    that were clipped. So the estimate is corrected by that of its own residual (`_corrected`), and
    85 to 100 % of the values come back exactly, also where a third of an image is clipped.

    Args:
        y: (B, C, H, W), floats in [0, 256), H and W multiples of the factor.
        factor: How many times the image was enlarged.
        width: Of a bin of y.

    Returns:
        Centers of bins minus 1/2, in y's dtype, (B, C, H / factor, W / factor): for 8 bits,
        integers from 0 to 255.
    """
    stored = to_float64((y / width).floor()).flatten(0, 1)[:, None]
    taps = torch.from_numpy(kernel(factor, width)).to(stored.device)
    reach = (len(taps) - factor) // 2
    x = F.pad(stored, (reach, reach, reach, reach), mode="replicate")
    x = F.conv2d(x, taps.view(1, 1, -1, 1), stride=(factor, 1))
    x = F.conv2d(x, taps.view(1, 1, 1, -1), stride=(1, factor))
    if width != 1:
        x = _corrected(x, stored, taps, factor)
    w = x.round().clamp(0, 256 / width - 1).view(*y.shape[:2], *x.shape[-2:])
    return to_like((w + 0.5) * width - 0.5, y)


def _corrected(small: Tensor, stored: Tensor, taps: Tensor, factor: int) -> Tensor:
    """Correct an estimate of the small image, 16 bits, so that its enlargement is as stored.

    x <- z + k * (y - clip(U z)),   z = x + 0.6 (x - previous x)
    """
    previous = small
    for _ in range(_CORRECTIONS // factor):
        ahead = small + _MOMENTUM * (small - previous)
        rows = _stretched(ahead, factor)
        enlarged = _stretched(rows.mT.contiguous(), factor).mT
        residual = stored - enlarged.clamp_(0, 65535)
        columns = _shrunk(residual, taps, factor).mT.contiguous()
        previous = small
        small = (ahead + _shrunk(columns, taps, factor).mT).clamp_(0, 65535)
    return small


def _stretched(x: Tensor, factor: int) -> Tensor:
    """Enlarge (N, 1, H, W) along H by BICUBIC, as Pillow: weights beyond the edge are left out."""
    height = x.shape[2]
    padded = F.pad(x, (0, 0, 2, 2))
    inside = F.pad(x.new_ones(1, 1, height, 1), (0, 0, 2, 2))
    result = x.new_empty(*x.shape[:2], height, factor, x.shape[3])
    for phase in range(factor):
        weights = _bicubic(np.abs((phase + 0.5) / factor - 0.5 - np.arange(-2, 3)))
        share = _weighted(inside, weights, 1)
        result[:, :, :, phase] = _weighted(padded, weights, 1).div_(share)
    return result.flatten(2, 3)


def _shrunk(x: Tensor, taps: Tensor, factor: int) -> Tensor:
    """Apply the kernel along H with a stride: (N, 1, H, W) to (N, 1, H / factor, W)."""
    reach = (len(taps) - factor) // 2
    padded = F.pad(x, (0, 0, reach, reach), mode="replicate")
    return _weighted(padded, taps.cpu().numpy(), factor)


def _weighted(x: Tensor, weights: np.ndarray, stride: int) -> Tensor:
    """Convolve (N, 1, H, W) along H; several times as fast on CPUs as `conv2d` in float64."""
    last = x.shape[2] - len(weights) + 1
    total = torch.zeros_like(x[:, :, :last:stride])
    for place, weight in enumerate(weights.tolist()):
        if weight:
            total.add_(x[:, :, place : place + last : stride], alpha=weight)
    return total


def _bicubic(distance: np.ndarray) -> np.ndarray:
    """Keys' kernel (1981) with a = -1/2, as in Pillow."""
    near = 1.5 * distance**3 - 2.5 * distance**2 + 1
    far = -0.5 * distance**3 + 2.5 * distance**2 - 4 * distance + 2
    return np.where(distance < 1, near, np.where(distance < 2, far, 0))


@functools.cache
def kernel(factor: int, width: float = 1.0) -> np.ndarray:
    """The weights of the linear estimate of a pixel with the least mean squared error, 1-D.

        k = (U C Uᵀ + σ² I)⁻¹ U c,   divided by its sum

    U is bicubic interpolation from the small row to the
    `len(k)` nearest pixels of the enlarged row, C the covariance of the small row, c its column for
    the pixel, and σ² the variance of rounding.
    """
    # The finer the bins, the further away it shows how others were rounded.
    taps = max(_LEAST_TAPS if width == 1 or factor > 2 else _LEAST_FINE_TAPS, 3 * factor)
    # The position of each tap in pixels of the small row, relative to the estimated one.
    positions = (np.arange(taps) - (taps - factor) // 2 + 0.5) / factor - 0.5
    reach = int(np.abs(positions).max()) + 3
    pixels = np.arange(-reach, reach + 1)
    interpolation = _bicubic(np.abs(positions[:, None] - pixels))
    covariance = _VARIANCE * _CORRELATION ** np.abs(pixels[:, None] - pixels)
    observed = interpolation @ covariance
    noisy = observed @ interpolation.T + _ROUNDING * width**2 * np.eye(taps)
    weights = np.linalg.solve(noisy, observed[:, reach])
    return np.asarray(weights / weights.sum())
