"""The baseline of the paper: Dual-Glow's independent Gaussians (section 3.1, equation 6)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from ..devices import wide_zeros
from ..layers import ConvNet, ScaleAndBias
from ..layers.terms import affine, affine_inverse
from .conditional import Latents
from .multiscale import latent_channels
from .sizes import Sizes

__all__ = ["ConditionalGaussian", "DualGlow"]


class ConditionalGaussian(nn.Module):
    """p(L_i | D_i) = N(μ(D_i), diag(exp(2 s(D_i)))), as the map `z = exp(-s) (L_i - μ)`.

    Shapes: x (B, channels, H, W); cond D_i, (B or B / M, d_channels, H, W), or what `read` made of
    it.
    """

    def __init__(self, channels: int, d_channels: int, hidden: int, bound: float) -> None:
        super().__init__()
        self.bound = bound
        self.net = ConvNet(d_channels, hidden, 2 * channels)

    def read(self, cond: Tensor | ScaleAndBias) -> ScaleAndBias:
        """s and μ of D_i, for more than one use."""
        return cond if isinstance(cond, ScaleAndBias) else ScaleAndBias(self.net(cond))

    def forward(self, x: Tensor, cond: Tensor | ScaleAndBias) -> tuple[Tensor, Tensor]:
        return affine_inverse(x, self.read(cond).net, self.bound)

    def inverse(self, y: Tensor, cond: Tensor | ScaleAndBias) -> tuple[Tensor, Tensor]:
        return affine(y, self.read(cond).net, self.bound)


class DualGlow(nn.Module):
    """p(L | D) = Π_i p(L_i | D_i): nothing passes between scales. z[i] holds one latent, of L_i.

    Contract and arguments: as `Autoregressive`; of the sizes, `steps` and `trunk` are not used.
    """

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        n = sizes.scales
        channels = [latent_channels(sizes.target_channels, i, n) for i in range(n)]
        self.gaussians = nn.ModuleList(
            ConditionalGaussian(
                c, latent_channels(sizes.cond_channels, i, n), sizes.hidden, sizes.bound
            )
            for i, c in enumerate(channels)
        )
        self.layout = [[(c, n - i)] for i, c in enumerate(channels)]

    def read(self, d: Sequence[Tensor]) -> list[ScaleAndBias]:
        """What the nets make of D, for more than one use."""
        gaussians: list[Any] = list(self.gaussians)
        return [gaussian.read(d_i) for gaussian, d_i in zip(gaussians, d, strict=True)]

    def forward(
        self, x: Sequence[Tensor], cond: Sequence[Tensor | ScaleAndBias]
    ) -> tuple[Latents, Tensor]:
        z: Latents = []
        logdet = wide_zeros(x[0].shape[0], x[0])
        for l_i, d_i, gaussian in zip(x, cond, self.gaussians, strict=True):
            z_i, term = gaussian(l_i, d_i)
            z.append([z_i])
            logdet = logdet + term
        return z, logdet

    def inverse(
        self, y: Latents, cond: Sequence[Tensor | ScaleAndBias]
    ) -> tuple[list[Tensor], Tensor]:
        l: list[Tensor] = []
        logdet = wide_zeros(y[0][0].shape[0], y[0][0])
        gaussians: list[Any] = list(self.gaussians)
        for z_i, d_i, gaussian in zip(y, cond, gaussians, strict=True):
            l_i, term = gaussian.inverse(z_i[0], d_i)
            l.append(l_i)
            logdet = logdet + term
        return l, logdet
