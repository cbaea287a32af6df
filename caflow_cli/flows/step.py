"""Flow steps (paper appendix A.1, A.2)."""

from __future__ import annotations

from torch import Tensor, nn

from ..layers import ChannelAffine, Coupling, Injector

__all__ = ["ConditionalStep", "Step"]


class Step(nn.Module):
    """Step of R and T: actnorm, 1×1, affine coupling. Shapes: x (B, C, H, W)."""

    def __init__(self, channels: int, hidden: int, bound: float) -> None:
        super().__init__()
        self.affine = ChannelAffine(channels)
        self.coupling = Coupling(channels, hidden, bound)

    def forward(self, x: Tensor, cond: None = None) -> tuple[Tensor, Tensor]:
        x, logdet_affine = self.affine(x)
        x, logdet_coupling = self.coupling(x)
        return x, logdet_affine + logdet_coupling

    def inverse(self, y: Tensor, cond: None = None) -> tuple[Tensor, Tensor]:
        y, logdet_coupling = self.coupling.inverse(y)
        y, logdet_affine = self.affine.inverse(y)
        return y, logdet_affine + logdet_coupling


class ConditionalStep(nn.Module):
    """Step of F: actnorm, 1×1, affine injector, conditional affine coupling.

    `cond` is the pair of first-layer features of the injector's and of the coupling's net, each
    (B, hidden, H, W), or (B / M, ...) for M candidates an image.

    Shapes: x (B, C, H, W).
    """

    def __init__(self, channels: int, hidden: int, bound: float) -> None:
        super().__init__()
        self.affine = ChannelAffine(channels)
        self.injector = Injector(channels, hidden, bound)
        self.coupling = Coupling(channels, hidden, bound)

    def forward(self, x: Tensor, cond: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        for_injector, for_coupling = cond
        x, logdet_affine = self.affine(x)
        x, logdet_injector = self.injector(x, for_injector)
        x, logdet_coupling = self.coupling(x, for_coupling)
        return x, logdet_affine + logdet_injector + logdet_coupling

    def inverse(self, y: Tensor, cond: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        for_injector, for_coupling = cond
        y, logdet_coupling = self.coupling.inverse(y, for_coupling)
        y, logdet_injector = self.injector.inverse(y, for_injector)
        y, logdet_affine = self.affine.inverse(y)
        return y, logdet_affine + logdet_injector + logdet_coupling
