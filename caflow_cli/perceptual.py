"""LPIPS networks (Zhang et al. 2018): AlexNet for evaluation, VGG16 for training."""

from __future__ import annotations

import contextlib
import io
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from .errors import EXIT_WEIGHTS, CaflowError

__all__ = ["ALEX", "LEAST_SIDE", "VGG", "PerceptualNet", "at_hand", "load_perceptual"]

LEAST_SIDE = 16  # of an image, which VGG16 halves four times


@dataclass(frozen=True)
class PerceptualNet:
    """One of the networks, and where its trunk comes from."""

    net: str  # as `lpips.LPIPS` names it
    name: str  # for people
    variable: str  # of the environment
    option: str  # of the command line
    cached: str  # what torchvision downloads

    @property
    def to_get(self) -> str:
        """How to get the trunk onto a machine that cannot download it: for hints."""
        url = f"https://download.pytorch.org/models/{self.cached}"
        return (
            f"download {url} into {str(self.cache().parent)!r}, or {self.option} FILE (safetensors)"
        )

    def cache(self) -> Path:
        """Where torchvision keeps what it downloads."""
        return Path(torch.hub.get_dir()) / "checkpoints" / self.cached


ALEX = PerceptualNet(
    "alex", "AlexNet", "CAFLOW_LPIPS_WEIGHTS", "--lpips-weights", "alexnet-owt-7be5be79.pth"
)
VGG = PerceptualNet(
    "vgg", "VGG16", "CAFLOW_LPIPS_VGG_WEIGHTS", "--perceptual-weights", "vgg16-397923af.pth"
)


def at_hand(kind: PerceptualNet, weights: str | Path | None = None) -> bool:
    """Whether a trunk is named, by `weights` or the environment, or in torch's cache."""
    return bool(weights or os.environ.get(kind.variable)) or kind.cache().is_file()


def load_perceptual(kind: PerceptualNet, weights: str | Path | None = None) -> Any:
    """`lpips.LPIPS` with a trained trunk, float32, in `eval()`, on the CPU, without gradients of
    its own.

    The linear heads come with the `lpips` package. The trunk, of ImageNet, comes from `weights`,
    else from the file that the environment names, else from torch's cache, else it is downloaded:
    never from a random initialisation. It takes pairs of images in [-1, 1], (B, 3, H, W).

    Args:
        kind: `ALEX` or `VGG`.
        weights: safetensors file of the trunk, keys `net.slice*` as in `lpips.LPIPS`.

    Raises:
        CaflowError: (exit 3) no trunk to be had, or a file with other tensors.
    """
    import lpips

    hint = f"{kind.option} FILE, or {kind.variable}: {kind.name}'s trunk as safetensors, net.slice*"
    weights = weights or os.environ.get(kind.variable) or None
    if weights is not None:
        network = _build(lpips.LPIPS, kind, pnet_rand=True)
        _load_trunk(network, kind, Path(weights), hint)
    else:
        try:
            network = _build(lpips.LPIPS, kind)
        except OSError as error:  # URLError is one
            raise CaflowError(
                f"no LPIPS trunk: {kind.cached} is not in torch's cache, and the download failed",
                kind.to_get,
                EXIT_WEIGHTS,
            ) from error
    return network.eval().requires_grad_(False)


def _load_trunk(network: Any, kind: PerceptualNet, path: Path, hint: str) -> None:
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise CaflowError(f"cannot read LPIPS trunk {str(path)!r}", hint, EXIT_WEIGHTS) from error
    wanted = {key for key in network.state_dict() if key.startswith("net.")}
    if tensors.keys() != wanted:
        raise CaflowError(
            f"{str(path)!r} is not {kind.name}'s trunk: {len(tensors.keys() & wanted)} of "
            f"{len(wanted)} tensors match",
            hint,
            EXIT_WEIGHTS,
        )
    network.load_state_dict(tensors, strict=False)


def _build(network: Any, kind: PerceptualNet, **options: bool) -> Any:
    # torch.hub says on stdout, which is for results, that it downloads.
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), _Unset():
        warnings.simplefilter("ignore")  # of how lpips calls torchvision
        return network(net=kind.net, verbose=False, **options)


class _Unset(TorchFunctionMode):
    """Leaves new weights unset: files give those that count, and random ones take a second.

    Most are of torchvision's classifiers, which `lpips` builds and drops.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__module__", None) == nn.init.__name__:
            return kwargs["tensor"]
        if func in (Tensor.uniform_, Tensor.normal_):
            return args[0]
        return func(*args, **kwargs)
