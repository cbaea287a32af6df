"""LPIPS (AlexNet), computed by the `lpips` package."""

from __future__ import annotations

import contextlib
import io
import os
import warnings
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ...errors import EXIT_WEIGHTS, CaflowError
from .formulas import check_pairs

__all__ = ["LpipsDistance"]

_TRUNK_FILE = "alexnet-owt-7be5be79.pth"  # what torchvision downloads
_LEAST = 31  # pixels a side, below which a layer has nothing left
_HINT = "--lpips-weights FILE, or CAFLOW_LPIPS_WEIGHTS: AlexNet's trunk as safetensors, net.slice*"


class LpipsDistance:
    """Perceptual distance, 0 for equal images and about 1 for unrelated ones; lower is better.

    The linear heads come with the `lpips` package. The trunk, ImageNet's AlexNet, comes from
    `weights`, else from the file that CAFLOW_LPIPS_WEIGHTS names, else from torch's cache, else it
    is downloaded: never from a random initialisation.

    Args:
        weights: safetensors file of the trunk, keys `net.slice*` as in `lpips.LPIPS(net="alex")`.
        device: Where to compute.

    Raises:
        CaflowError: No trunk to be had, or a file with other tensors (exit code 3).
    """

    def __init__(
        self, weights: str | Path | None = None, device: torch.device | str = "cpu"
    ) -> None:
        import lpips

        weights = weights or os.environ.get("CAFLOW_LPIPS_WEIGHTS") or None
        if weights is not None:
            self._net = _build(lpips.LPIPS, pnet_rand=True)
            self._load_trunk(Path(weights))
        else:
            try:
                self._net = _build(lpips.LPIPS)
            except OSError as error:  # URLError is one
                cached = Path(torch.hub.get_dir()) / "checkpoints" / _TRUNK_FILE
                raise CaflowError(
                    f"no LPIPS trunk: {str(cached)!r} is not there, and the download failed",
                    _HINT,
                    EXIT_WEIGHTS,
                ) from error
        self._net = self._net.eval().requires_grad_(False).to(device)
        self._device = device

    def _load_trunk(self, path: Path) -> None:
        try:
            tensors = load_file(path)
        except (OSError, SafetensorError) as error:
            raise CaflowError(
                f"cannot read LPIPS trunk {str(path)!r}", _HINT, EXIT_WEIGHTS
            ) from error
        wanted = {key for key in self._net.state_dict() if key.startswith("net.")}
        if tensors.keys() != wanted:
            raise CaflowError(
                f"{str(path)!r} is not AlexNet's trunk: {len(tensors.keys() & wanted)} of "
                f"{len(wanted)} tensors match",
                _HINT,
                EXIT_WEIGHTS,
            )
        self._net.load_state_dict(tensors, strict=False)

    @torch.no_grad()
    def __call__(self, images: Tensor, references: Tensor) -> Tensor:
        """Distance of each pair: (B,) float64.

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
        """The trunk's last activations, averaged over the image: uint8 (B, 3, H, W) to (B, 256)."""
        _check_size(images)
        x = images.to(self._device).float() / 127.5 - 1
        last: Tensor = self._net.net(self._net.scaling_layer(x))[-1]
        return last.mean((2, 3))


def _check_size(images: Tensor) -> None:
    height, width = images.shape[-2:]
    if min(height, width) < _LEAST:
        raise CaflowError(
            f"{width}x{height} pixels are too few for AlexNet, which needs {_LEAST} a side",
            "larger pictures, or --resize 64",
        )


def _build(network: Any, **options: bool) -> Any:
    # torch.hub says on stdout, which is for results, that it downloads.
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")  # of how lpips calls torchvision
        return network(net="alex", verbose=False, **options)
