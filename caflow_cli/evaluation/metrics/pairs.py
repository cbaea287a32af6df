"""Metrics that compare images with their references.

Batch metrics take `images` and `references`, uint8 or uint16 (B, 3, H, W), and return (B,) float64.
Those that need a network see the high byte of 16 bits. They raise `CaflowError` if shapes or dtypes
differ, or if the images are too small.
"""

import copy
import functools
import os
from collections.abc import Callable, Collection
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ...errors import CaflowError, ensure
from ...layers import WIDTHS
from ...perceptual import ALEX, is_available, load_perceptual
from ...records import Table
from . import Weights

OF_LPIPS = ("lpips", "diversity_score", "lpips_map")  # the metrics that need its trunk
LEAST_SIDE = 31  # minimum side of an image, so that every layer of AlexNet has an output
_PEAK = 255.0
_WINDOW = 11  # SSIM's window in torchmetrics, for σ 1.5
_BORDER = 4  # pixels that the metrics on Y ignore at each border
# Y of YCbCr in "studio range", ITU-R BT.601: 16 for black, 235 for white.
_LUMA = torch.tensor([65.481, 128.553, 24.966], dtype=torch.float64) / 255
_BLACK = 16.0


def rmse(images: Tensor, references: Tensor) -> Tensor:
    """Root mean square error of each image, in levels of 0-255; lower is better.

    The value of a set is the mean over its images (paper table 1).
    """
    _check(images, references)
    return _rmse(_levels(images), _levels(references))


def psnr(images: Tensor, references: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each image in dB, `20 log10(255 / rmse)`; inf if equal."""
    return _decibels(rmse(images, references))


def ssim(images: Tensor, references: Tensor) -> Tensor:
    """Structural similarity of each image, with sides of at least 11; 1 for equal images.

    Wang et al. 2004, as in torchmetrics: 11×11 Gaussian window with σ = 1.5, K1 = 0.01, K2 = 0.03,
    range 255, population covariances; mean over channels and over windows inside the image.
    """
    _check(images, references)
    return _similarity(_levels(images), _levels(references))


def psnr_y(images: Tensor, references: Tensor) -> Tensor:
    """PSNR of Y in dB, as usual for super-resolution: `20 log10(255 / rmse)` of the luma (BT.601,
    16 to 235, not rounded), without the 4 pixels next to each border. Needs sides of at least 9."""
    return _decibels(_rmse(*_inner_luma(images, references)))


def ssim_y(images: Tensor, references: Tensor) -> Tensor:
    """`ssim` of the luma that `psnr_y` compares. Needs sides of at least 19."""
    return _similarity(*_inner_luma(images, references))


FORMULAS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "rmse": rmse,
    "psnr": psnr,
    "ssim": ssim,
    "psnr_y": psnr_y,
    "ssim_y": ssim_y,
}  # metrics that need no network


def _check(images: Tensor, references: Tensor) -> None:
    ensure(
        images.shape == references.shape
        and images.dtype == references.dtype
        and images.dtype in WIDTHS
        and images.shape[1:2] == (3,)
        and images.ndim == 4,
        f"images are {images.dtype} of shape {tuple(images.shape)}, references "
        f"{references.dtype} of shape {tuple(references.shape)}",
        "pass two batches (B, 3, H, W), uint8 or uint16, of the same shape",
    )


def _check_side(images: Tensor, least: int, what: str) -> None:
    height, width = images.shape[-2:]
    ensure(
        min(height, width) >= least,
        f"{width}x{height} pixels are too few for {what}: sides must be at least {least}",
        "use larger images, or leave the metric out",
    )


def _levels(images: Tensor) -> Tensor:
    """Values in levels of 8 bits, float64."""
    return images.double() * WIDTHS[images.dtype]


def _rmse(x: Tensor, y: Tensor) -> Tensor:
    squares = (x - y).square()
    return squares.flatten(1).mean(1).sqrt()


def _decibels(error: Tensor) -> Tensor:
    return 20 * (_PEAK / error).log10()


def _inner_luma(*batches: Tensor) -> list[Tensor]:
    """Y of each batch without borders, (B, 1, H - 8, W - 8) float64."""
    _check(*batches)
    _check_side(batches[0], 2 * _BORDER + 1, "luma metrics")
    inner = slice(_BORDER, -_BORDER)
    planes = []
    for batch in batches:
        luma = torch.einsum("c,bchw->bhw", _LUMA, _levels(batch))
        planes.append(_BLACK + luma[:, None, inner, inner])
    return planes


def _similarity(x: Tensor, y: Tensor) -> Tensor:
    """SSIM of batches (B, C, H, W), float64 with range 255: (B,)."""
    from torchmetrics.functional.image import structural_similarity_index_measure

    _check_side(x, _WINDOW, "an SSIM window")
    # torchmetrics also averages over windows beyond the border. Float32 is inexact in flat areas.
    _, places = structural_similarity_index_measure(
        x, y, data_range=_PEAK, reduction="none", return_full_image=True
    )
    rim = _WINDOW // 2
    inside: Tensor = places[..., rim:-rim, rim:-rim]
    return inside.flatten(1).mean(1)


class LpipsDistance:
    """LPIPS (AlexNet): 0 for equal images, about 1 for unrelated ones; lower is better.

    The linear heads come with the `lpips` package. The trunk, AlexNet trained on ImageNet, comes
    from `weights`, else from the file that CAFLOW_LPIPS_WEIGHTS names, else from torch's cache,
    else from a download. It is never randomly initialized.

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
        self._maps = copy.copy(self._net)  # which shares its tensors
        self._maps.spatial = True
        self._device = device

    @torch.no_grad()
    def __call__(self, images: Tensor, references: Tensor) -> Tensor:
        """Compute the distance of each pair, with sides of at least 31."""
        return self._measured(self._net, images, references).flatten()

    @torch.no_grad()
    def maps(self, images: Tensor, references: Tensor) -> Tensor:
        """The distance at each pixel, (B, H, W) float64: `lpips.LPIPS` with `spatial=True`."""
        return self._measured(self._maps, images, references)[:, 0]

    def _measured(self, net: nn.Module, images: Tensor, references: Tensor) -> Tensor:
        _check(images, references)
        distance: Tensor = net(self._scaled(images), self._scaled(references))
        return distance.cpu().double()

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """The trunk's last activations, averaged over the image: uint8 (B, 3, H, W) to (B, 256)."""
        scaled = self._net.scaling_layer(self._scaled(images))
        last: Tensor = self._net.net(scaled)[-1]
        return last.mean((2, 3))

    def _scaled(self, images: Tensor) -> Tensor:
        _check_side(images, LEAST_SIDE, "AlexNet")
        stored = images.to(self._device).float()
        levels = (stored * WIDTHS[images.dtype]).floor()
        return levels / 127.5 - 1


# Building it takes longer than measuring a few images.
_cached_lpips = functools.cache(LpipsDistance)


def load_lpips(weights: Weights, device: torch.device | str = "cpu") -> LpipsDistance:
    """LPIPS with the weights' trunk, built once. CaflowError (exit 3) if the trunk is missing."""
    trunk = weights.lpips or os.environ.get(ALEX.variable)
    return _cached_lpips(trunk, str(device))


def measure_pairs(
    names: Collection[str],
    images: Tensor,
    references: Tensor,
    weights: Weights,
    device: torch.device | str = "cpu",
) -> list[Table]:
    """Measure each pair of two batches by those of the named metrics that compare pairs.

    CaflowError (exit 3) if LPIPS's trunk is missing.
    """
    columns: dict[str, Tensor] = {}
    if "lpips" in names:
        columns["lpips"] = load_lpips(weights, device)(images, references)
    for name, formula in FORMULAS.items():
        if name in names:
            columns[name] = formula(images, references)
    return [
        {name: column[place].item() for name, column in columns.items()}
        for place in range(len(images))
    ]


class Computable(NamedTuple):
    """The metrics that can be computed, and why others cannot."""

    metrics: tuple[str, ...]
    notes: list[str]  # on those that nobody asked for
    missing: dict[str, CaflowError]  # the errors of the others, by metric


def computable(
    metrics: tuple[str, ...],
    weights: Weights,
    device: torch.device | str = "cpu",
    *,
    asked: bool = True,
) -> Computable:
    """Leave out the metrics that need LPIPS's trunk, if it is missing.

    A metric that is not `asked` for, of which no trunk is named, leaves a note. CaflowError (exit
    3) if no metric is left.
    """
    of_lpips = [name for name in metrics if name in OF_LPIPS]
    is_named = is_available(ALEX, weights.lpips)
    try:
        if of_lpips:
            load_lpips(weights, device)
    except CaflowError as error:
        rest = tuple(name for name in metrics if name not in OF_LPIPS)
        if not rest:
            raise
        if asked or is_named:
            return Computable(rest, [], dict.fromkeys(of_lpips, error))
        return Computable(rest, [f"lpips is left out: {error.message}; {error.hint}"], {})
    return Computable(metrics, [], {})
