"""Invertible 1×1 convolution (paper section 2.1; Glow)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..devices import to_dtype


class InvConv1x1(nn.Module):
    """W of `y = W x` at every pixel, `W = P L (U + diag(sign * exp(log_diag)))`.

    P is a fixed permutation, L is unit lower triangular, and U is strictly upper triangular (both
    are kept in `lu`). So `log|det W| = sum(log_diag)`, and W is invertible whatever training does.
    W starts as a random rotation. `ChannelAffine` applies it.
    """

    permutation: Tensor
    sign: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.lu = nn.Parameter(torch.empty(channels, channels))
        self.log_diag = nn.Parameter(torch.empty(channels))
        self.register_buffer("sign", torch.empty(channels))
        # Row r of P L U is row permutation[r] of L U.
        self.register_buffer("permutation", torch.empty(channels, dtype=torch.long))
        if self.lu.device.type != "meta":  # has shapes only
            self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Set W to a random rotation."""
        channels = len(self.log_diag)
        rotation, _ = torch.linalg.qr(torch.randn(channels, channels, dtype=torch.float64))
        p, lower, upper = torch.linalg.lu(rotation)
        diag = upper.diagonal()
        self.lu.copy_(lower.tril(-1) + upper.triu(1))
        self.log_diag.copy_(diag.abs().log())
        self.sign.copy_(diag.sign())
        self.permutation.copy_(p.argmax(1))

    @staticmethod
    def weights(layers: Sequence[InvConv1x1], dtype: torch.dtype) -> Tensor:
        """W of several layers of one width, (K, C, C), composed in `dtype` as one batch."""
        lower, upper = _factors(layers, dtype)
        rows = torch.stack([layer.permutation for layer in layers])
        rows = rows[:, :, None].to(lower.device)
        return (lower @ upper).gather(1, rows.expand_as(lower))

    def inverse_weight(self) -> Tensor:
        """W^-1, (C, C), float64, by two triangular solves; on `float64_device`."""
        lower, upper = (factor[0] for factor in _factors([self], torch.float64))
        eye = torch.eye(lower.shape[0], dtype=torch.float64, device=lower.device)
        half = torch.linalg.solve_triangular(lower, eye, upper=False, unitriangular=True)
        inverse = torch.linalg.solve_triangular(upper, half, upper=True)
        # W^-1 = (L U)^-1 P^T: column permutation[r] of (L U)^-1 moves to column r.
        return inverse[:, self.permutation.to(inverse.device)]  # type: ignore[no-any-return]


def _factors(layers: Sequence[InvConv1x1], dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """L and U with its diagonal, (K, C, C) each."""
    lu = to_dtype(torch.stack([layer.lu for layer in layers]), dtype)
    log_diag = to_dtype(torch.stack([layer.log_diag for layer in layers]), dtype)
    sign = to_dtype(torch.stack([layer.sign for layer in layers]), dtype)
    lower = lu.tril(-1) + torch.eye(lu.shape[-1], dtype=dtype, device=lu.device)
    upper = lu.triu(1) + torch.diag_embed(sign * log_diag.exp())
    return lower, upper
