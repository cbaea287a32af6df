"""Flow steps (paper appendix A.1, A.2)."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from ..layers import ChannelAffine, Composed, Coupling, Injector, ScaleAndBias

__all__ = ["ConditionalStep", "Step", "StepCondition"]


class Step(nn.Module):
    """Step of R and T: actnorm, 1×1, affine coupling. Shapes: x (B, C, H, W).

    `cond` may hold the composed actnorm and 1×1, as for `ChannelAffine`.
    """

    def __init__(self, channels: int, hidden: int, bound: float) -> None:
        super().__init__()
        self.affine = ChannelAffine(channels)
        self.coupling = Coupling(channels, hidden, bound)

    def forward(self, x: Tensor, cond: Composed | None = None) -> tuple[Tensor, Tensor]:
        x, logdet_affine = self.affine(x, cond)
        x, logdet_coupling = self.coupling(x)
        return x, logdet_affine + logdet_coupling

    def inverse(self, y: Tensor, cond: None = None) -> tuple[Tensor, Tensor]:
        y, logdet_coupling = self.coupling.inverse(y)
        y, logdet_affine = self.affine.inverse(y)
        return y, logdet_affine + logdet_coupling


class StepCondition(NamedTuple):
    """What a `ConditionalStep` reads beside x.

    What the injector reads (`Injector`), and the first-layer features of the coupling's net,
    (B, hidden, H, W), or (B / M, ...) for M candidates an image; and, if known, the composed
    actnorm and 1×1.
    """

    for_injector: Tensor | ScaleAndBias
    for_coupling: Tensor
    affine: Composed | None = None


class ConditionalStep(nn.Module):
    """Step of F: actnorm, 1×1, affine injector, conditional affine coupling.

    Args:
        channels, hidden, bound: As in `Step`.
        injector_net: Whether the injector has a net of its own, or is given what one would say.

    Shapes: x (B, C, H, W).
    """

    def __init__(self, channels: int, hidden: int, bound: float, injector_net: bool = True) -> None:
        super().__init__()
        self.affine = ChannelAffine(channels)
        self.injector = Injector(channels, hidden if injector_net else 0, bound)
        self.coupling = Coupling(channels, hidden, bound)

    def forward(self, x: Tensor, cond: StepCondition) -> tuple[Tensor, Tensor]:
        x, logdet_affine = self.affine(x, cond.affine)
        x, logdet_injector = self.injector(x, cond.for_injector)
        x, logdet_coupling = self.coupling(x, cond.for_coupling)
        return x, logdet_affine + logdet_injector + logdet_coupling

    def inverse(self, y: Tensor, cond: StepCondition) -> tuple[Tensor, Tensor]:
        y, logdet_coupling = self.coupling.inverse(y, cond.for_coupling)
        y, logdet_injector = self.injector.inverse(y, cond.for_injector)
        y, logdet_affine = self.affine.inverse(y)
        return y, logdet_affine + logdet_injector + logdet_coupling
