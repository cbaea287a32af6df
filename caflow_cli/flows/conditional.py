"""The conditional multi-scale flows F_i (paper section 4.2, equation 8)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .multiscale import latent_channels
from .scale import ConditionalScale

__all__ = ["ConditionalFlow"]


class ConditionalFlow(nn.Module):
    """F_i = (f_i^i, ..., f_0^i): L_i | D_i..D_0, L_{i-1}..L_0 -> [z_0^i, ..., z_i^i].

        f_i^i : L_i  | D_i       -> [Z'_{i-1}, z_i^i]
        f_j^i : Z'_j | D_j, L_j  -> [Z'_{j-1}, z_j^i]      0 < j < i
        f_0^i : Z'_0 | D_0, L_0  -> z_0^i                  (f_0^0 : L_0 | D_0)

    `cond` is the pair of lists (D, L), indexed by j; of L the elements below i are read. D may
    hold one entry an image where L_i holds one a candidate. The output is indexed by j.

    Args:
        index: i.
        target_channels, cond_channels: Channels of the images behind L and D.
        scales: n.
        steps, hidden, bound: As in `ConditionalScale`.
    """

    def __init__(
        self,
        index: int,
        target_channels: int,
        cond_channels: int,
        scales: int,
        steps: int,
        hidden: int,
        bound: float,
    ) -> None:
        super().__init__()
        own = 4 * latent_channels(target_channels, index, scales)
        self.functions = nn.ModuleList(
            ConditionalScale(
                own * 2 ** (index - j),
                latent_channels(cond_channels, j, scales),
                latent_channels(target_channels, j, scales) if j < index else 0,
                steps,
                hidden,
                bound,
            )
            for j in range(index + 1)
        )

    def _condition(
        self, j: int, cond: tuple[Sequence[Tensor], Sequence[Tensor]]
    ) -> tuple[Tensor, Tensor | None]:
        d, l = cond
        return d[j], l[j] if j < len(self.functions) - 1 else None

    def forward(
        self, x: Tensor, cond: tuple[Sequence[Tensor], Sequence[Tensor]]
    ) -> tuple[list[Tensor], Tensor]:
        latents: list[Tensor] = []
        logdet = x.new_zeros(x.shape[0], dtype=torch.float64)
        for j in reversed(range(len(self.functions))):
            x, term = self.functions[j](x, self._condition(j, cond))
            logdet = logdet + term
            if j > 0:
                x, latent = x.chunk(2, dim=1)
                latents.insert(0, latent)
        return [x, *latents], logdet

    def inverse(
        self, y: list[Tensor], cond: tuple[Sequence[Tensor], Sequence[Tensor]]
    ) -> tuple[Tensor, Tensor]:
        x, *latents = y
        logdet = x.new_zeros(x.shape[0], dtype=torch.float64)
        functions: list[Any] = list(self.functions)
        for j, function in enumerate(functions):
            if j > 0:
                x = torch.cat([x, latents[j - 1]], dim=1)
            x, term = function.inverse(x, self._condition(j, cond))
            logdet = logdet + term
        return x, logdet
