"""The unconditional multi-scale flows R and T (paper section 4, appendix A.1)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..devices import zeros_float64
from ..layers import Modules
from .scale import Scale


def latent_channels(image_channels: int, index: int, scales: int) -> int:
    """The channels of L_i or D_i: C 2^(n-i), or twice as many for i = 0, which is not split."""
    return int(image_channels * 2 ** (scales - index) * (2 if index == 0 else 1))


class MultiScaleFlow(nn.Module):
    """T(w) = [L_0, ..., L_{n-1}], coarsest first.

    Each scale's output is split in halves, of which one goes on to the next scale. L_i has the
    shape (B, `latent_channels(C, i, n)`, H / 2^(n-i), W / 2^(n-i)).

    Args:
        image_channels: C.
        hidden: Hidden channels of the nets of each of the n scales, finest first.
        steps, bound: As in `Scale`, the same for every scale.
    """

    def __init__(
        self, image_channels: int, steps: int, hidden: Sequence[int], bound: float
    ) -> None:
        super().__init__()
        # Scale k works on the half left by k splits: C 2^k channels before its squeeze.
        self.scales = Modules[Scale](
            Scale(4 * image_channels * 2**k, steps, width, bound) for k, width in enumerate(hidden)
        )

    def forward(self, x: Tensor, cond: None = None) -> tuple[list[Tensor], Tensor]:
        latents: list[Tensor] = []
        logdet = zeros_float64(x.shape[0], x)
        for k, scale in enumerate(self.scales):
            x, term = scale(x)
            logdet = logdet + term
            if k < len(self.scales) - 1:
                x, latent = x.chunk(2, dim=1)
                latents.insert(0, latent)
        return [x, *latents], logdet

    def inverse(self, y: list[Tensor], cond: None = None) -> tuple[Tensor, Tensor]:
        x, *latents = y
        logdet = zeros_float64(x.shape[0], x)
        for k, scale in reversed(list(enumerate(self.scales))):
            if k < len(self.scales) - 1:
                x = torch.cat([x, latents.pop(0)], dim=1)
            x, term = scale.inverse(x)
            logdet = logdet + term
        return x, logdet
