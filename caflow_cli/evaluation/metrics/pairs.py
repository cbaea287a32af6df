"""Pair metrics of batches: each compares pictures with their truths."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from torch import Tensor

from . import formulas
from .lpips import LpipsDistance

__all__ = ["PairMetrics"]

_FORMULAS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "rmse": formulas.rmse,
    "psnr": formulas.psnr,
    "ssim": formulas.ssim,
    "psnr_y": formulas.psnr_y,
    "ssim_y": formulas.ssim_y,
}


class PairMetrics:
    """The metrics of `names` that compare pairs, ready to use.

    Raises:
        CaflowError: LPIPS is requested and its trunk is missing (exit 3).
    """

    def __init__(
        self,
        names: Iterable[str],
        lpips_weights: str | Path | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        self._functions: dict[str, Callable[[Tensor, Tensor], Tensor]] = {}
        for name in names:
            if name == "lpips":
                self._functions[name] = LpipsDistance(lpips_weights, device)
            elif name in _FORMULAS:
                self._functions[name] = _FORMULAS[name]

    def __call__(self, images: Tensor, references: Tensor) -> list[dict[str, float]]:
        """Compute every metric of every pair; both batches are uint8 (B, 3, H, W)."""
        columns = {name: f(images, references).tolist() for name, f in self._functions.items()}
        return [{name: column[i] for name, column in columns.items()} for i in range(len(images))]
