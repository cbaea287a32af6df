"""The pair metrics of batches: each compares a picture with its truth."""

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
}


class PairMetrics:
    """Those of `names` that compare pairs, ready to use.

    Raises:
        CaflowError: LPIPS is asked for and its trunk is not to be had (exit 3).
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
        """Every metric of every pair. uint8 (B, 3, H, W) each."""
        columns = {name: f(images, references).tolist() for name, f in self._functions.items()}
        return [{name: column[i] for name, column in columns.items()} for i in range(len(images))]
