"""From a photograph to the mask of its damage."""

from __future__ import annotations

from functools import cache
from itertools import product

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file
from scipy import ndimage

from ..assets import ASSETS
from ..errors import EXIT_WEIGHTS, CaflowError, check_usage
from ..images import Pixels
from ..inference.arguments import ImageLike, as_image
from .net import MULTIPLE, DamageNet

__all__ = ["find_damage"]

_REACH = 0.36  # of the threshold: as far as a region extends that passes the threshold somewhere
_TILE, _MARGIN = 512, 96  # pixels: sides of what is kept of a tile, and what it sees beyond


@torch.inference_mode()
def find_damage(image: ImageLike, threshold: float = 0.5) -> Pixels:
    """Find dust, scratches, hairs, spots, cracks and tears in a photograph.

    Args:
        image: A path, a PIL image, or an array, uint8 (H, W, 3) or grey; see `as_image`.
        threshold: On (0, 1): a region is marked if the net's confidence is above it somewhere, and
            as far as that is above 0.36 of it. A lower one marks more.

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
    hint = "a threshold between 0 and 1, such as 0.5"
    check_usage(0 < threshold < 1, f"the threshold {threshold} is out of range", hint)
    found = _confidence(as_image(image))
    regions, _ = ndimage.label(found > _REACH * threshold, np.ones((3, 3)))
    sure = np.unique(regions[found > threshold])
    return np.where(np.isin(regions, sure[sure > 0]), np.uint8(255), np.uint8(0))


def _confidence(image: Pixels) -> npt.NDArray[np.float32]:
    """How sure the net is that each pixel is damaged, on (0, 1): (H, W), tile by tile."""
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
