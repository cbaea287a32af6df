"""The baseline of the paper: Dual-Glow's independent Gaussians (section 3.1, equation 6)."""

from collections.abc import Sequence

from torch import Tensor, nn

from ..config import FlowConfig
from ..devices import zeros_float64
from ..layers import ConvNet, Modules
from ..layers.terms import affine, affine_inverse
from .conditional import FlowCondition, Latents
from .multiscale import latent_channels
from .scale import ScaleCondition


class ConditionalGaussian(nn.Module):
    """p(L_i | D_i) = N(μ(D_i), diag(exp(2 s(D_i)))), as the map `z = exp(-s) (L_i - μ)`.

    Shapes: x (B, channels, H, W); cond is the result of `read` for D_i, which has the shape (B or B
    / M, d_channels, H, W).
    """

    def __init__(self, channels: int, d_channels: int, hidden: int, bound: float) -> None:
        super().__init__()
        self.bound = bound
        self.net = ConvNet(d_channels, hidden, 2 * channels)

    def read(self, d: Tensor) -> ScaleCondition:
        return ScaleCondition(self.net(d))

    def forward(self, x: Tensor, cond: ScaleCondition) -> tuple[Tensor, Tensor]:
        return affine_inverse(x, cond.embedded, self.bound)

    def inverse(self, y: Tensor, cond: ScaleCondition) -> tuple[Tensor, Tensor]:
        return affine(y, cond.embedded, self.bound)


class DualGlow(nn.Module):
    """p(L | D) = Π_i p(L_i | D_i), with independent scales. z[i] holds one latent, of L_i.

    Contract and arguments are those of `Autoregressive`, but a Gaussian has no steps and no trunk.
    """

    def __init__(self, flow: FlowConfig) -> None:
        super().__init__()
        n = flow.scales
        channels = [latent_channels(flow.target_channels, i, n) for i in range(n)]
        self.gaussians = Modules[ConditionalGaussian](
            ConditionalGaussian(
                c, latent_channels(flow.r_channels, i, n), flow.f_hidden, flow.scale_bound
            )
            for i, c in enumerate(channels)
        )
        self.layout = [[(c, n - i)] for i, c in enumerate(channels)]

    def read(self, d: Sequence[Tensor]) -> FlowCondition:
        return [[gaussian.read(d_i)] for gaussian, d_i in zip(self.gaussians, d, strict=True)]

    def forward(self, x: Sequence[Tensor], cond: FlowCondition) -> tuple[Latents, Tensor]:
        z: Latents = []
        logdet = zeros_float64(x[0].shape[0], x[0])
        for l_i, (read,), gaussian in zip(x, cond, self.gaussians, strict=True):
            z_i, term = gaussian(l_i, read)
            z.append([z_i])
            logdet = logdet + term
        return z, logdet

    def inverse(self, y: Latents, cond: FlowCondition) -> tuple[list[Tensor], Tensor]:
        l: list[Tensor] = []
        logdet = zeros_float64(y[0][0].shape[0], y[0][0])
        for z_i, (read,), gaussian in zip(y, cond, self.gaussians, strict=True):
            l_i, term = gaussian.inverse(z_i[0], read)
            l.append(l_i)
            logdet = logdet + term
        return l, logdet
