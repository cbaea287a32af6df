"""From stored values to points and back (paper appendix A.1).

Points `v = (w + u) width` lie in [0, 256), with the stored value w, bins of width 1 (8 bits) or
1/256 (16), and noise u in [0, 1), which is uniform or drawn from a conditional flow (for 8 bits).
All densities of images refer to this scale. Measured fields have scales of their own.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from ..config import NOISE_STEPS, FlowConfig
from ..layers import Conv, Modules, Squeeze, WithLogdet, scaling, to_stored
from .logit import Logit
from .step import Chain, ConditionalStep, forward_through, inverse_through

# Noise is a multiple of 2^-16, so that w + u is exact in float32 and never rounds up to w + 1.
NOISE_LEVELS = 2**16
# The noise of every score. Changing it changes every published log-likelihood.
_SCORE_SEED = 20210604
# sigmoid(1.7 ε) with ε ~ N(0, 1) is uniform to within 0.02 bits: the initial q.
_WIDTH = 1.7


class ValueScale(Protocol):
    """What stored values are for a density: a monotone map to points, and its slope."""

    def points(self, x: Any, noise: Any) -> tuple[Any, Any]:
        """The points of values with uniform noise, and `log |dv/dx|` of each, in nats.

        Args:
            x: (B, C, H, W); of images the centers of bins, on [0, 256).
            noise: In [0, 1), of the same shape.
        """

    def values(self, v: Any) -> Any:
        """The values of points."""


class Levels(NamedTuple):
    """The scale of images, whose densities are those of points, so that it has no slope."""

    width: float = 1.0  # of a bin: 1 for 8 bits, 1/256 for 16

    def points(self, x: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        if self.width != 1:  # multiples of 2^-8, so that points are exact in float32
            noise = (noise * NOISE_LEVELS * self.width).floor() / NOISE_LEVELS
        return x - self.width / 2 + noise, torch.zeros_like(x[:, :1, :1, :1])

    def values(self, v: Tensor) -> Tensor:
        return to_stored(v, self.width)


def uniform_noise(
    shape: tuple[int, ...],
    generator: torch.Generator,
) -> Tensor:
    """Uniform noise on {0, 1, ..., 65535} / 65536, float32, drawn from a CPU generator."""
    return torch.randint(NOISE_LEVELS, shape, generator=generator).float() / NOISE_LEVELS


def noise_draws(
    shape: tuple[int, ...],
    *,
    normal: bool = False,
) -> Iterator[Tensor]:
    """The noise draws of a score, (C, H, W) float32 each, the same for all images of one size.

    Common noise makes scores deterministic and candidates comparable. The first K draws do not
    depend on K. The noise is uniform; for variational dequantization it is standard normal, and
    transformed later.
    """
    generator = torch.Generator().manual_seed(_SCORE_SEED)
    while True:
        yield torch.randn(shape, generator=generator) if normal else uniform_noise(shape, generator)


class VariationalNoise(nn.Module):
    """q(u|w), as the map from standard normal ε to u in (0, 1): squeeze, four conditional steps,
    `sigmoid(1.7 h)`, unsqueeze (Flow++). `log q(u|w) = log N(ε; 0, I) - logdet`.

    Args:
        flow: Sizes and variants.

    Shapes: x = ε and y = u, (B, C, H, W); cond = w on [0, 256), of the same shape.
    """

    def __init__(self, flow: FlowConfig) -> None:
        super().__init__()
        channels = 4 * flow.target_channels
        self.squeeze = Squeeze()
        self.logit = Logit(alpha=0.0, levels=1.0)
        self.embed = Conv(channels, 2 * NOISE_STEPS * flow.f_hidden, 3)
        nn.init.kaiming_normal_(self.embed.weight, nonlinearity="relu")
        self.steps = Modules[ConditionalStep](
            ConditionalStep(channels, flow) for _ in range(NOISE_STEPS)
        )

    def _chain(self, cond: Tensor) -> Chain:
        centered, _ = self.squeeze(cond / 128 - 1)
        shares = self.embed(centered).chunk(2 * NOISE_STEPS, dim=1)
        pairs = zip(self.steps, shares[::2], shares[1::2], strict=True)
        return [(self.squeeze, None), *((step, step.read(*share)) for step, *share in pairs)]

    def forward(self, x: Tensor, cond: Tensor) -> WithLogdet:
        h, logdet = forward_through(self._chain(cond), x)
        logdet = logdet + scaling(_WIDTH, h.shape[1], h)
        squeezed, term = self.logit.inverse(_WIDTH * h)
        u, _ = self.squeeze.inverse(squeezed)
        return u, logdet + term

    def inverse(self, y: Tensor, cond: Tensor) -> WithLogdet:
        squeezed, _ = self.squeeze(y)
        h, term = self.logit(squeezed)
        x, logdet = inverse_through(self._chain(cond), h / _WIDTH)
        logdet = logdet - scaling(_WIDTH, h.shape[1], h)
        return x, logdet + term
