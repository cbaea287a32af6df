"""The logit map from pixels to the real line (paper appendix A.1)."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..layers import WithLogdet, scaling, sigmoid, sum_per_image


class Logit(nn.Module):
    """`h = logit(p)`, `p = α/2 + (1 - α) v / levels`: pixels in (0, levels) to the real line.

    The log-determinant is `Σ log((1 - α) / levels) - log p - log(1 - p)`. It converts a density of
    h to one of v, on the scale of 8 bits. v may lie outside [0, levels) as long as 0 < p < 1,
    because a flow puts a little of its mass there.

    Shapes: (B, C, H, W).
    """

    def __init__(self, alpha: float = 0.05, levels: float = 256.0) -> None:
        super().__init__()
        self.alpha = alpha
        self.levels = levels
        self.slope = (1 - alpha) / levels  # dp/dv
        # How far the support of the density extends beyond [0, levels]; at its ends p is 0 or 1.
        self.margin = levels * alpha / (2 * (1 - alpha))

    def complete(self, cond: Tensor, width: float = 1) -> Tensor:
        """Add to the condition, whose bins have this width, what the map derives from it."""
        return cond

    def unknown(self, cond: Tensor, batch: int) -> Tensor | bool:
        """Which values of `batch` images the condition does not determine."""
        return True

    def near_ends(self, v: Tensor, cond: Tensor, share: float = 0.9997) -> Tensor:
        """Which unknown values lie beyond a share of the margin; beyond share 1 the density is 0.

        With the default share and α = 0.05 these values have |h| > 11.8, whereas pixels have at
        most 3.7. Float32 still distinguishes them from the end of the support.
        """
        beyond = share * self.margin
        outside = (v <= -beyond) | (v >= self.levels + beyond)
        return outside & self.unknown(cond, v.shape[0])

    def nearest(self, v: Tensor) -> Tensor:
        """Clamp to [0, levels], where every value has a logit."""
        return v.clamp(0.0, self.levels)

    def of(self, v: Tensor) -> Tensor:
        """Map v to h."""
        p = self.alpha / 2 + self.slope * v
        return torch.log(p) - torch.log1p(-p)

    def back(self, h: Tensor) -> Tensor:
        """Map h to v."""
        p = sigmoid(h)
        return (p - self.alpha / 2) * (self.levels / (1 - self.alpha))

    def log_derivative(self, h: Tensor) -> Tensor:
        """`log dh/dv` of each value, in h's dtype."""
        return _steepness(h) + math.log(self.slope)

    def _logdet(self, h: Tensor) -> Tensor:
        constant = scaling(self.slope, h.shape[1], h)
        return sum_per_image(_steepness(h)) + constant

    def forward(self, v: Tensor, cond: Tensor | None = None, width: float = 1) -> WithLogdet:
        h = self.of(v)
        return h, self._logdet(h)

    def inverse(self, h: Tensor, cond: Tensor | None = None, width: float = 1) -> WithLogdet:
        return self.back(h), -self._logdet(h)


def _steepness(h: Tensor) -> Tensor:
    """`-log p - log(1 - p)`, via softplus because p may round to 0 or 1 for sampled h."""
    return F.softplus(h) + F.softplus(-h)
