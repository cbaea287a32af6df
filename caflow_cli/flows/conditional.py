"""The conditional multi-scale flows F_i (paper section 4.2, equation 8)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..devices import wide_zeros
from .multiscale import latent_channels
from .scale import ConditionalScale, Reading
from .sizes import Sizes

__all__ = ["Autoregressive", "ConditionalFlow", "Given", "Latents", "function", "latent_layout"]

Latents = list[list[Tensor]]  # z[i][j] = z_j^i
Given = Sequence[Tensor | Reading]  # D, indexed by j, or what functions made of it


def latent_layout(target_channels: int, scales: int) -> list[list[tuple[int, int]]]:
    """Channels of z_j^i and how often its image's sides are halved, as `[i][j]`."""
    layout = []
    for i in range(scales):
        own = 4 * latent_channels(target_channels, i, scales)
        # f_j^i sees its channels doubled i - j times, and hands half of its output on unless j = 0.
        layout.append(
            [(own * 2 ** (i - j) // (2 if j else 1), scales - j + 1) for j in range(i + 1)]
        )
    return layout


def function(i: int, j: int, sizes: Sizes) -> ConditionalScale:
    """A new f_j^i. For j < i its shapes and conditions are the same for every i."""
    target, cond, n = sizes.target_channels, sizes.cond_channels, sizes.scales
    return ConditionalScale(
        4 * latent_channels(target, i, n) * 2 ** (i - j),
        latent_channels(cond, j, n),
        latent_channels(target, j, n) if j < i else 0,
        sizes.steps,
        sizes.hidden,
        sizes.bound,
        sizes.trunk(j),
        sizes.trunk_blocks,
    )


class ConditionalFlow(nn.Module):
    """F_i = (f_i^i, ..., f_0^i): L_i | D_i..D_0, L_{i-1}..L_0 -> [z_0^i, ..., z_i^i].

        f_i^i : L_i  | D_i       -> [Z'_{i-1}, z_i^i]
        f_j^i : Z'_j | D_j, L_j  -> [Z'_{j-1}, z_j^i]      0 < j < i
        f_0^i : Z'_0 | D_0, L_0  -> z_0^i                  (f_0^0 : L_0 | D_0)

    `cond` is the pair of lists (D, L), indexed by j; of L the elements below i are read. D may
    hold one entry an image where L_i holds one a candidate, or be what `read` made of it. The
    output is indexed by j.

    Args:
        index: i.
        sizes: Of all functions.
    """

    def __init__(self, index: int, sizes: Sizes) -> None:
        super().__init__()
        self.functions = nn.ModuleList(function(index, j, sizes) for j in range(index + 1))

    def read(self, d: Sequence[Tensor]) -> list[Reading]:
        """What each f_j^i makes of D_j alone, for more than one use."""
        functions: list[Any] = list(self.functions)
        return [function.read(d[j]) for j, function in enumerate(functions)]

    def _condition(
        self, j: int, cond: tuple[Given, Sequence[Tensor]]
    ) -> tuple[Tensor | Reading, Tensor | None]:
        d, l = cond
        return d[j], l[j] if j < len(self.functions) - 1 else None

    def forward(
        self, x: Tensor, cond: tuple[Given, Sequence[Tensor]]
    ) -> tuple[list[Tensor], Tensor]:
        latents: list[Tensor] = []
        logdet = wide_zeros(x.shape[0], x)
        for j in reversed(range(len(self.functions))):
            x, term = self.functions[j](x, self._condition(j, cond))
            logdet = logdet + term
            if j > 0:
                x, latent = x.chunk(2, dim=1)
                latents.insert(0, latent)
        return [x, *latents], logdet

    def inverse(
        self, y: list[Tensor], cond: tuple[Given, Sequence[Tensor]]
    ) -> tuple[Tensor, Tensor]:
        x, *latents = y
        logdet = wide_zeros(x.shape[0], x)
        functions: list[Any] = list(self.functions)
        for j, function in enumerate(functions):
            if j > 0:
                x = torch.cat([x, latents[j - 1]], dim=1)
            x, term = function.inverse(x, self._condition(j, cond))
            logdet = logdet + term
        return x, logdet


class Autoregressive(nn.ModuleList):
    """[F_0, ..., F_{n-1}], the paper's model of p(L_{n-1}, ..., L_0 | D_{n-1}, ..., D_0).

    n (n + 1) / 2 functions f_j^i. `forward` maps the list L, under the list D or what `read` made
    of it, to `z[i][j]`; `inverse` builds L_0 first and each L_i on those below it.

    Args:
        sizes: Of all functions.
    """

    def __init__(self, sizes: Sizes) -> None:
        super().__init__(ConditionalFlow(i, sizes) for i in range(sizes.scales))
        self.layout = latent_layout(sizes.target_channels, sizes.scales)

    def read(self, d: Sequence[Tensor]) -> list[list[Reading]]:
        """What the functions make of D alone, `[i][j]`, for more than one use."""
        flows: list[Any] = list(self)
        return [flow.read(d) for flow in flows]

    def _given(self, cond: Sequence[Tensor] | list[list[Reading]]) -> list[Given]:
        """What each F_i is given: D, or its own reading."""
        return [[*cond]] * len(self) if isinstance(cond[0], Tensor) else [*cond]  # type: ignore[list-item]

    def forward(
        self, x: Sequence[Tensor], cond: Sequence[Tensor] | list[list[Reading]]
    ) -> tuple[Latents, Tensor]:
        z: Latents = []
        given = self._given(cond)
        logdet = wide_zeros(x[0].shape[0], x[0])
        for i, flow in enumerate(self):
            z_i, term = flow(x[i], (given[i], x[:i]))
            z.append(z_i)
            logdet = logdet + term
        return z, logdet

    def inverse(
        self, y: Latents, cond: Sequence[Tensor] | list[list[Reading]]
    ) -> tuple[list[Tensor], Tensor]:
        l: list[Tensor] = []
        given = self._given(cond)
        logdet = wide_zeros(y[0][0].shape[0], y[0][0])
        flows: list[Any] = list(self)
        for i, flow in enumerate(flows):
            l_i, term = flow.inverse(y[i], (given[i], l))
            l.append(l_i)
            logdet = logdet + term
        return l, logdet
