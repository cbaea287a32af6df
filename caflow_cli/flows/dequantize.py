"""From stored values to points and back (paper appendix A.1).

Points `v = (w + u) width` lie in [0, 256), with the stored value w, bins of width 1 (8 bits) or
1/256 (16), and noise u in [0, 1), which is uniform or drawn from a conditional flow (for 8 bits).
All densities refer to this scale.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from ..config import NOISE_STEPS, FlowConfig
from ..layers import Conv, Modules, Squeeze, WithLogdet, scaling
from .logit import Logit
from .step import Chain, ConditionalStep, forward_through, inverse_through

# Noise is a multiple of 2^-16, so that w + u is exact in float32 and never rounds up to w + 1.
NOISE_LEVELS = 2**16
# The noise of every score. Changing it changes every published log-likelihood.
_SCORE_SEED = 20210604
# sigmoid(1.7 ε) with ε ~ N(0, 1) is uniform to within 0.02 bits: the initial q.
_WIDTH = 1.7


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
