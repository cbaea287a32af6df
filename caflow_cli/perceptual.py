"""LPIPS networks (Zhang et al. 2018): AlexNet for evaluation, VGG16 for training."""

import contextlib
import io
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

from .devices import Uninitialized
from .errors import EXIT_WEIGHTS, CaflowError, ensure

LEAST_SIDE = 16  # minimum side of an image: VGG16 halves it four times


@dataclass(frozen=True)
class PerceptualNet:
    """One of the networks, and where its trunk comes from."""

    net: str  # name in `lpips.LPIPS`
    name: str  # name in messages
    variable: str  # environment variable
    option: str  # command-line option
    file: str  # file that torchvision downloads

    @property
    def cached(self) -> Path:
        """Path of the trunk in torchvision's download cache."""
        return Path(torch.hub.get_dir()) / "checkpoints" / self.file


ALEX = PerceptualNet(
    "alex", "AlexNet", "CAFLOW_LPIPS_WEIGHTS", "--lpips-weights", "alexnet-owt-7be5be79.pth"
)
VGG = PerceptualNet(
    "vgg", "VGG16", "CAFLOW_LPIPS_VGG_WEIGHTS", "--perceptual-weights", "vgg16-397923af.pth"
)


def is_available(kind: PerceptualNet, weights: str | Path | None = None) -> bool:
    """Whether a trunk is available: named by `weights` or the environment, or in torch's cache."""
    return bool(weights or os.environ.get(kind.variable)) or kind.cached.is_file()


def load_perceptual(kind: PerceptualNet, weights: str | Path | None = None) -> Any:
    """`lpips.LPIPS` with a trained trunk, float32, in `eval()`, on the CPU, without gradients.

    It compares images in [-1, 1], (B, 3, H, W). Its linear heads come with `lpips`. The trunk,
    trained on ImageNet, comes from `weights`, else from the file that the environment names, else
    from torch's cache, else from a download; it is never randomly initialized.

    Args:
        kind: `ALEX` or `VGG`.
        weights: safetensors file of the trunk, keys `net.slice*` as in `lpips.LPIPS`.

    Raises:
        CaflowError: (exit 3) the trunk is not available, or the file has other tensors.
    """
    import lpips

    weights = weights or os.environ.get(kind.variable)
    # Read the trunk here: through `lpips`, torchvision would load it as an unrestricted pickle.
    with warnings.catch_warnings(), Uninitialized():
        warnings.simplefilter("ignore")  # about how lpips calls torchvision
        network = lpips.LPIPS(net=kind.net, verbose=False, pnet_rand=True)
    wanted = {key for key in network.state_dict() if key.startswith("net.")}
    where = str(weights or kind.cached)
    url = f"https://download.pytorch.org/models/{kind.file}"
    hint = (
        f"{kind.option} FILE or {kind.variable} (safetensors, keys net.slice*), or download {url} "
        f"into {str(kind.cached.parent)!r}"
    )
    try:
        if weights:
            tensors = load_file(weights)
        else:
            # torch.hub announces downloads on stdout, which is reserved for results.
            with contextlib.redirect_stdout(io.StringIO()):
                published = torch.hub.load_state_dict_from_url(
                    url, map_location="cpu", check_hash=True, weights_only=True
                )
            # `net.slice1.0.weight` is `features.0.weight` in torchvision.
            names = {key: f"features.{key.split('.', 2)[2]}" for key in wanted}
            tensors = {key: published[name] for key, name in names.items() if name in published}
    except Exception as error:  # URLError, SafetensorError, or what torch raises at a broken file
        raise CaflowError(
            f"no LPIPS trunk: {where!r} cannot be read or downloaded", hint, EXIT_WEIGHTS
        ) from error
    ensure(
        tensors.keys() == wanted,
        f"{where!r} is not {kind.name}'s trunk: {len(tensors.keys() & wanted)} of "
        f"{len(wanted)} tensors match",
        hint,
        EXIT_WEIGHTS,
    )
    network.load_state_dict(tensors, strict=False)
    return network.eval().requires_grad_(False)


def checkerboard_energy(x: Tensor, period: int = 4) -> tuple[Tensor, Tensor]:
    """The energy of checkerboard artifacts, and that of all fine detail, (B,) each.

        h = x - its mean over 5×5 pixels
        m_p = mean_k h[p + period k] over blocks of 7×7 cells, less its mean over the phases p

    The two are the mean of m_p² over phases, blocks and channels, and the mean of h². An upsampling
    network computes its pixels in cells of `period`, and LPIPS mistakes a pattern that repeats
    with them for texture. In photographs fine detail is nearly independent of the phase, so the
    ratio of the two is that of chance: 1/49.

    Args:
        x: Images (B, C, H, W), whose sides hold at least one block: 32 pixels for a period of 4.
        period: In pixels.
    """
    fine = x[..., 2:-2, 2:-2] - F.avg_pool2d(x, 5, stride=1)
    height, width = (side // period * period for side in fine.shape[-2:])
    fine = fine[..., :height, :width]
    of_phases = F.avg_pool2d(F.pixel_unshuffle(fine, period), 7, stride=4)
    of_phases = of_phases.unflatten(1, (x.shape[1], period**2))
    apart = of_phases - of_phases.mean(dim=2, keepdim=True)
    of_pattern = apart.square().flatten(1).mean(1)
    of_detail = fine.square().flatten(1).mean(1)
    return of_pattern, of_detail
