"""Between 8-bit pixels and the real line (paper appendix A.1, uniform dequantization).

Pixels live on [0, 256): `v = w + u`, w the 8-bit value and u in [0, 1). All densities are stated on
this scale, where the bin of a pixel value has unit width.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..devices import wide_zeros
from ..layers.terms import sum_per_image, volume

__all__ = ["NOISE_LATTICE", "Logit", "lattice_noise", "noise_draws", "to_uint8"]

# Noise is a multiple of 2^-16, so that w + u is exact in float32 and never rounds up to w + 1.
NOISE_LATTICE = 2**16
# The noise of every score. Changing it changes every published log-likelihood.
_SCORE_SEED = 20210604


class Logit(nn.Module):
    """`h = logit(p)`, `p = α/2 + (1 - α) v / levels`: pixels (0, levels) to the real line.

    The log-determinant is `Σ log((1 - α) / levels) - log p - log(1 - p)`, so a density of h becomes
    one of v, in bins of unit width. v may lie outside [0, levels) as far as 0 < p < 1 allows: a
    flow puts a little of its mass there.

    Shapes: (B, C, H, W).
    """

    def __init__(self, alpha: float = 0.05, levels: float = 256.0) -> None:
        super().__init__()
        self.alpha = alpha
        self.levels = levels

    def supports(self, v: Tensor, cond: None = None) -> bool:
        """Whether every value has a density: 0 < p < 1."""
        margin = self.levels * self.alpha / (2 * (1 - self.alpha))
        return bool(((v > -margin) & (v < self.levels + margin)).all())

    def log_derivative(self, h: Tensor) -> Tensor:
        """`log dh/dv` of each value, in h's type."""
        return _steepness(h) + math.log((1 - self.alpha) / self.levels)

    def _logdet(self, h: Tensor) -> Tensor:
        scale = wide_zeros(h.shape[1], h) + math.log((1 - self.alpha) / self.levels)
        return sum_per_image(_steepness(h)) + volume(scale, h)

    def of(self, v: Tensor) -> Tensor:
        """h of v."""
        p = self.alpha / 2 + (1 - self.alpha) / self.levels * v
        return torch.log(p) - torch.log1p(-p)

    def back(self, h: Tensor) -> Tensor:
        """v of h."""
        return (torch.sigmoid(h) - self.alpha / 2) * (self.levels / (1 - self.alpha))

    def forward(self, v: Tensor, cond: None = None) -> tuple[Tensor, Tensor]:
        h = self.of(v)
        return h, self._logdet(h)

    def inverse(self, h: Tensor, cond: None = None) -> tuple[Tensor, Tensor]:
        return self.back(h), -self._logdet(h)


def _steepness(h: Tensor) -> Tensor:
    """`-log p - log(1 - p)` as softplus: sampled h can be so large that p rounds to 0 or 1."""
    return F.softplus(h) + F.softplus(-h)


def lattice_noise(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Uniform noise on {0, 1, ..., 65535} / 65536, float32, from a CPU generator."""
    return torch.randint(NOISE_LATTICE, shape, generator=generator).float() / NOISE_LATTICE


def noise_draws(shape: tuple[int, int, int], *, normal: bool = False) -> Iterator[Tensor]:
    """The noise draws of a score, (C, H, W) float32 each: the same for every image of a size.

    Common noise makes a score deterministic and candidates comparable; K draws are the first K of
    more. Uniform on the lattice, or standard normal, which variational dequantization starts from.
    """
    generator = torch.Generator().manual_seed(_SCORE_SEED)
    while True:
        yield torch.randn(shape, generator=generator) if normal else lattice_noise(shape, generator)


def to_uint8(v: Tensor) -> Tensor:
    """Back to 8 bits: `clamp(floor(v), 0, 255)`."""
    return v.floor().clamp(0, 255).to(torch.uint8)
