"""Equation 9 of the paper, log p(w|y), and its inverse, from latents to images."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..config import Extent, FlowConfig
from ..errors import ensure
from ..flows import (
    Anchor,
    AnchorCondition,
    Autoregressive,
    DualGlow,
    FieldAnchor,
    FieldCondition,
    FlowCondition,
    MultiScaleFlow,
    SharedAutoregressive,
    standard_normal_log_prob,
)

_CONDITIONALS: dict[str, type[Autoregressive] | type[SharedAutoregressive] | type[DualGlow]] = {
    "caflow": Autoregressive,
    "shared": SharedAutoregressive,
    "dual-glow": DualGlow,
}


class Condition(NamedTuple):
    """Everything that the density needs from y, computed once per image."""

    d: list[Tensor]  # R(y) = [D_0, ..., D_{n-1}]
    anchor: AnchorCondition | FieldCondition  # the input of A
    flow: FlowCondition  # what F computed from D

    @property
    def batch(self) -> int:
        """The number of conditions."""
        return self.d[0].shape[0]

    @property
    def width(self) -> float:
        """The width of a bin: 1 for 8 bits, 1/256 for 16."""
        return self.anchor.width

    @property
    def size(self) -> Extent:
        """The height and width of y."""
        height, width = self.d[-1].shape[-2:]
        return 2 * height, 2 * width

    def check(self, batch: int, target: Tensor | None = None) -> None:
        """Raise CaflowError if the target's size, or the number of targets, does not fit."""
        size = self.size if target is None else tuple(target.shape[-2:])
        ensure(
            size == self.size,
            f"targets have {size} pixels, conditions {self.size}",
            "pass a condition of the target's size",
        )
        ensure(
            batch % self.batch == 0,
            f"{batch} targets for {self.batch} conditions",
            "pass one condition per image, each with equally many consecutive targets",
        )


class Density(nn.Module):
    """The exact density of an image v given an image y, and its sampler.

        h = A(v; y),  [L_0 ... L_{n-1}] = T(h),  [D_0 ... D_{n-1}] = R(y),  z_j^i = F_i(L_i; D, L)_j

        log p(v|y) = log|det dA/dv| + log|det dT/dh|
                     + Σ_i Σ_{j<=i} [ log N(z_j^i; 0, I) + log|det df_j^i| ]

    This is equation 9 (for `dual-glow`, equation 6), in which A, the map from pixels to the real
    line, is part of T. Images are floats on the 8-bit scale [0, 256), or fields on that of
    `FieldAnchor`, (B, C, H, W), with H and W multiples of 2^(n+1). Each y may belong to M
    consecutive entries of v. Log-densities are (B,) float64, in nats on that scale. Latents are a
    list in the order z_{n-1}^{n-1}, z_{n-2}^{n-1}, ..., z_0^0. Everything is differentiable.

    Args:
        flow: Sizes and variants.
    """

    A: Any  # an `Anchor`, or a `FieldAnchor`, which has its methods
    F: Autoregressive | SharedAutoregressive | DualGlow

    def __init__(self, flow: FlowConfig) -> None:
        super().__init__()
        self.R = MultiScaleFlow(flow.r_channels, flow.r_steps, flow)
        self.A = FieldAnchor(flow) if flow.anchor == "field" else Anchor(flow)
        self.T = MultiScaleFlow(flow.target_channels, flow.t_steps, flow)
        self.F = _CONDITIONALS[flow.conditional](flow)

    def condition(
        self, y: Tensor, expected: Tensor | None = None, width: float = 1.0
    ) -> tuple[Condition, Tensor]:
        """Compute the condition from y, and log p(y) under R with a standard normal base.

        With a guide, R also reads the predicted image, and the density is that of both. `expected`
        is this image if it is known (`Anchor.read`), `width` that of the bins of y and v.
        """
        anchor = self.A.read(y, expected, width)
        h, log_prob = self.A.inputs_of_r(y, anchor)
        d, logdet = self.R(h)
        log_prob = log_prob + logdet + sum(standard_normal_log_prob(d_i) for d_i in d)
        return Condition(d, anchor, self.F.read(d)), log_prob

    def forward(self, v: Tensor, cond: Condition) -> tuple[list[Tensor], Tensor]:
        """Compute the latents of v, and log p(v|y), which is -inf outside the support."""
        h, log_prob = self.A(v, cond.anchor)
        l, logdet = self.T(h)
        log_prob = log_prob + logdet
        z, logdet = self.F(l, cond.flow)
        latents = [z_j for z_i in reversed(z) for z_j in reversed(z_i)]
        log_prob = log_prob + logdet + sum(standard_normal_log_prob(z_j) for z_j in latents)
        supported = self.A.supports(v, cond.anchor).to(log_prob.device)
        return latents, log_prob.where(supported, -math.inf)

    def inverse(self, latents: Sequence[Tensor], cond: Condition) -> tuple[Tensor, Tensor]:
        """Compute v from its latents (L_0 first, then each L_i given the coarser ones), log p(v|y).

        The log-density is that of the model at temperature 1, whatever the temperature at which the
        latents were drawn.
        """
        queue = list(latents)
        z = []  # z[i][j] = z_j^i
        for z_i in self.F.layout:
            z.append([queue.pop() for _ in z_i])
        l, logdet = self.F.inverse(z, cond.flow)
        log_prob = sum((standard_normal_log_prob(z_j) for z_j in latents), -logdet)
        h, logdet = self.T.inverse(l)
        log_prob = log_prob - logdet
        v, logdet = self.A.inverse(h, cond.anchor)
        return v, log_prob - logdet


def bits_per_dim(log_prob: Tensor | float, dims: int) -> Any:
    """Convert nats to bits per dimension: `-log_prob / (D ln 2)`."""
    return -log_prob / (dims * math.log(2))


def standard_error(deviations: Tensor) -> Tensor:
    """The standard error in nats, (B,), from the deviations (K, B) of K draws; NaN for K = 1."""
    if len(deviations) == 1:
        return torch.full_like(deviations[0], math.nan)
    return deviations.std(0) / math.sqrt(len(deviations))
