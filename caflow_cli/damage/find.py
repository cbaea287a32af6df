"""From a photograph to the mask of its damage."""

from __future__ import annotations

from functools import cache
from itertools import product

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from ..assets import ASSETS
from ..errors import EXIT_WEIGHTS, CaflowError, check_usage
from ..images import Pixels
from ..inference.arguments import ImageLike, as_image
from .net import MULTIPLE, DamageNet

__all__ = ["find_damage"]

_GROW = 1  # pixels, around what is found: the soft edge of damage
_TILE, _MARGIN = 512, 96  # pixels: sides of what is kept of a tile, and what it sees beyond


@torch.inference_mode()
def find_damage(image: ImageLike, threshold: float = 0.5) -> Pixels:
    """Find dust, scratches, hairs, spots, cracks and tears in a photograph.

    Args:
        image: A path, a PIL image, or an array, uint8 (H, W, 3) or grey; see `as_image`.
        threshold: On (0, 1): the probability above which a pixel is damaged. A lower one marks
            more.

    Returns:
        The mask, uint8 (H, W): 255 where the image is damaged, else 0, as `restore` takes it. It is
        black if nothing is found, and `restore` refuses such a mask.

    Examples:
        >>> import caflow_cli as caflow
        >>> from caflow_cli.assets import example_path
        >>> mask = caflow.find_damage(example_path("cat_192"))
        >>> mask.shape, int(mask.max())
        ((192, 192), 0)

    Raises:
        CaflowError: (exit 2) the threshold is out of range. (exit 3) the package lacks the weights.
            Also as for `as_image`.
    """
    hint = "--threshold 0.5, or another on (0, 1)"
    check_usage(0 < threshold < 1, f"the threshold {threshold} is out of range", hint)
    found = torch.from_numpy(_probability(as_image(image)) > threshold)[None].float()
    grown = F.max_pool2d(found, 2 * _GROW + 1, 1, _GROW)[0] > 0
    return np.where(grown.numpy(), np.uint8(255), np.uint8(0))


def _probability(image: Pixels) -> npt.NDArray[np.float32]:
    """The probability of damage of each pixel: (H, W), tile by tile."""
    height, width = image.shape[:2]
    ends = (0, -height % MULTIPLE), (0, -width % MULTIPLE), (0, 0)
    whole = torch.from_numpy(np.pad(image, ends, mode="symmetric")).permute(2, 0, 1)[None]
    result, net = np.empty((height, width), np.float32), _net()
    for top, left in product(range(0, height, _TILE), range(0, width, _TILE)):
        y, x = max(0, top - _MARGIN), max(0, left - _MARGIN)
        window = whole[..., y : top + _TILE + _MARGIN, x : left + _TILE + _MARGIN]
        found = net(window.float() / 127.5 - 1).sigmoid()[0, 0, top - y :, left - x :].numpy()
        place = result[top : top + _TILE, left : left + _TILE]
        place[:] = found[: place.shape[0], : place.shape[1]]
    return result


@cache
def _net() -> DamageNet:
    path = ASSETS / "damage.safetensors"
    if not path.exists():
        message = "this installation lacks the weights that find damage"
        raise CaflowError(message, "install caflow from a wheel", EXIT_WEIGHTS)
    net = DamageNet()
    net.load_state_dict(load_file(path))
    return net.eval()
