"""Flow steps (paper appendix A.1, A.2), and the composition of layers."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..config import FlowConfig
from ..layers import (
    ChannelAffine,
    Coupling,
    Injector,
    WithLogdet,
    zero_logdet,
)


class Step(nn.Module):
    """A flow step of R or T: actnorm, 1×1 convolution, affine coupling.

    Args:
        k: The scale, 0 for the finest.
        channels: C.
        flow: Sizes and variants.

    Shapes: x (B, C, H, W).
    """

    affine: Any  # a `ChannelAffine`, or the composed or folded map in its place

    def __init__(self, k: int, channels: int, flow: FlowConfig) -> None:
        super().__init__()
        self.affine = ChannelAffine(channels)
        self.coupling = Coupling(channels, flow.widths[k], *flow.bounds[k])

    def forward(self, x: Tensor, cond: None = None) -> WithLogdet:
        x, logdet_affine = self.affine(x)
        x, logdet_coupling = self.coupling(x)
        return x, logdet_affine + logdet_coupling

    def inverse(self, y: Tensor, cond: None = None) -> WithLogdet:
        y, logdet_coupling = self.coupling.inverse(y)
        y, logdet_affine = self.affine.inverse(y)
        return y, logdet_affine + logdet_coupling


class StepCondition(NamedTuple):
    """The condition of a `ConditionalStep`, one entry per image: batch size B, or B / M."""

    injection: Tensor  # (raw, b) of the injector, (B, 2C, H, W)
    features: Tensor  # the condition's contribution to the first layer of the coupling's net


class ConditionalStep(nn.Module):
    """A flow step of F: actnorm, 1×1 convolution, affine injector, conditional affine coupling.

    Args:
        channels: C.
        flow: Sizes and variants.
        injector_net: Whether the injector has its own net; if not, a trunk computes its values.

    Shapes: x (B, C, H, W); cond is the result of `read` for the condition's features.
    """

    affine: Any  # a `ChannelAffine`, or the composed or folded map in its place

    def __init__(
        self,
        channels: int,
        flow: FlowConfig,
        injector_net: bool = True,
    ) -> None:
        super().__init__()
        self.affine = ChannelAffine(channels)
        self.injector = Injector(channels, flow.f_hidden if injector_net else 0, flow.scale_bound)
        self.coupling = Coupling(channels, flow.f_hidden, flow.scale_bound)

    def read(
        self,
        for_injector: Tensor,
        for_coupling: Tensor,
    ) -> StepCondition:
        """Compute the condition of this step from the first-layer features of its two nets."""
        return StepCondition(self.injector.read(for_injector), for_coupling)

    def forward(self, x: Tensor, cond: StepCondition) -> WithLogdet:
        x, logdet_affine = self.affine(x)
        x, logdet_injector = self.injector(x, cond.injection)
        x, logdet_coupling = self.coupling(x, cond.features)
        return x, logdet_affine + logdet_injector + logdet_coupling

    def inverse(self, y: Tensor, cond: StepCondition) -> WithLogdet:
        y, logdet_coupling = self.coupling.inverse(y, cond.features)
        y, logdet_injector = self.injector.inverse(y, cond.injection)
        y, logdet_affine = self.affine.inverse(y)
        return y, logdet_affine + logdet_injector + logdet_coupling


Chain = Sequence[tuple[Any, Any]]  # layers, each with its condition or None


def forward_through(chain: Chain, x: Tensor) -> WithLogdet:
    """`y = f_m(... f_1(x))` and `Σ_k log|det df_k|`, (B,) float64 (paper equation 2)."""
    logdet = zero_logdet(x)
    for layer, cond in chain:
        x, term = layer(x, cond)
        logdet = logdet + term
    return x, logdet


def inverse_through(chain: Chain, y: Tensor) -> WithLogdet:
    """`x = f_1^-1(... f_m^-1(y))` and the log-determinant of that direction."""
    logdet = zero_logdet(y)
    for layer, cond in reversed(chain):
        y, term = layer.inverse(y, cond)
        logdet = logdet + term
    return y, logdet


def split_through(chain: Chain, x: Tensor) -> tuple[list[Tensor], Tensor]:
    """`forward_through`, where half of the channels leave after each layer but the last.

    Returns:
        The output of the last layer, then the halves that left, the last one first; and the
        log-determinant.
    """
    latents: list[Tensor] = []
    logdet = zero_logdet(x)
    for k, (layer, cond) in enumerate(chain):
        if k > 0:
            x, latent = x.chunk(2, dim=1)
            latents.insert(0, latent)
        x, term = layer(x, cond)
        logdet = logdet + term
    return [x, *latents], logdet


def merge_through(chain: Chain, y: Sequence[Tensor]) -> WithLogdet:
    """The inverse of `split_through`, and the log-determinant of that direction."""
    x, *latents = y
    logdet = zero_logdet(x)
    for k, (layer, cond) in enumerate(reversed(chain)):
        if k > 0:
            x = torch.cat([x, latents[k - 1]], dim=1)
        x, term = layer.inverse(x, cond)
        logdet = logdet + term
    return x, logdet
