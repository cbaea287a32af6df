"""LPIPS (AlexNet), computed by the `lpips` package."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor

from ...errors import CaflowError
from ...perceptual import ALEX, at_hand, load_perceptual
from .formulas import check_pairs
from .weights import Weights

__all__ = ["LEAST_SIDE", "LpipsDistance", "measurable"]

LEAST_SIDE = 31  # pixels a side, below which a layer has nothing left


class LpipsDistance:
    """Perceptual distance, 0 for equal images and about 1 for unrelated ones; lower is better.

    The linear heads come with the `lpips` package. The trunk, ImageNet's AlexNet, comes from
    `weights`, else from the file that CAFLOW_LPIPS_WEIGHTS names, else from torch's cache, else
    from a download. It is never initialised at random.

    Args:
        weights: safetensors file of the trunk, keys `net.slice*` as in `lpips.LPIPS(net="alex")`.
        device: The device to compute on.

    Raises:
        CaflowError: The trunk is missing, or the file has other tensors (exit code 3).
    """

    def __init__(
        self, weights: str | Path | None = None, device: torch.device | str = "cpu"
    ) -> None:
        self._net = load_perceptual(ALEX, weights).to(device)
        self._device = device

    @torch.no_grad()
    def __call__(self, images: Tensor, references: Tensor) -> Tensor:
        """Compute the distance of each pair, (B,) float64.

        Args:
            images, references: uint8 (B, 3, H, W), sides of at least 31.
        """
        check_pairs(images, references)
        _check_size(images)
        a, b = (x.to(self._device).float() / 127.5 - 1 for x in (images, references))
        distance: Tensor = self._net(a, b)
        return distance.flatten().cpu().double()

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """Average the trunk's last activations over the image: uint8 (B, 3, H, W) to (B, 256)."""
        _check_size(images)
        x = images.to(self._device).float() / 127.5 - 1
        last: Tensor = self._net.net(self._net.scaling_layer(x))[-1]
        return last.mean((2, 3))


def measurable(metrics: Iterable[str], weights: Weights, notes: list[str]) -> list[str]:
    """The metrics without LPIPS, if `weights.leave_out` is set and its trunk is not to be had.

    Args:
        metrics: Names.
        weights: A trunk that these or the environment name must be there all the same.
        notes: Gets a line that says why LPIPS is left out, and which file it needs.
    """
    names = list(metrics)
    if not weights.leave_out or "lpips" not in names or at_hand(ALEX, weights.lpips):
        return names
    try:
        load_perceptual(ALEX)
    except CaflowError as error:
        notes.append(f"lpips is left out: {error.message}; {error.hint}")
        names.remove("lpips")
    return names


def _check_size(images: Tensor) -> None:
    height, width = images.shape[-2:]
    if min(height, width) < LEAST_SIDE:
        raise CaflowError(
            f"{width}x{height} pixels are too few for AlexNet, which needs {LEAST_SIDE} a side",
            "use larger pictures, or --resize 64",
        )
