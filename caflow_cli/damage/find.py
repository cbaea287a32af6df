"""From a photograph to the mask of its damage."""

from __future__ import annotations

from collections.abc import Callable
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
from ..restoration import to_batch
from ..restoration.arguments import ImageLike, as_input
from .net import MULTIPLE, DamageNet

_EXTENT = 0.36  # share of the threshold above which a region extends
_CERTAIN = 9.0  # how many times the threshold's odds some pixel of a damaged image has
_TILE = 1024  # side of a tile in pixels
_MARGIN = 128  # pixels that are read around a tile


def find_damage(
    image: ImageLike,
    threshold: float = 0.5,
    step: Callable[[int, int], object] = lambda done, total: None,
) -> Pixels:
    """Find dust, scratches, hairs, spots, cracks and tears in a photograph.

    Args:
        image: A path, a PIL image, or an array, uint8 (H, W, 3) or gray; see `as_image`.
        threshold: On (0, 1); lower finds more damage, with more false positives. A region where
            the network's confidence is above 0.36 of the threshold is marked if it exceeds the
            threshold somewhere, and grown by one pixel. Nothing is marked unless the odds of some
            pixel of the image, p / (1 - p), are 9 times the threshold's: lone doubtful marks are
            mostly wrong.
        step: Called after each tile with the number of tiles done and their total.

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
    check_usage(0 < threshold < 1, f"the threshold is {threshold}", "between 0 and 1, such as 0.5")
    levels = confidence(as_input(image).flattened(), step=step)
    if levels.max() <= 1 / (1 + (1 / threshold - 1) / _CERTAIN):
        return np.zeros(levels.shape, np.uint8)
    regions, count = ndimage.label(levels > _EXTENT * threshold, np.ones((3, 3)))
    value = np.zeros(count + 1, np.uint8)
    value[regions[levels > threshold]] = 255
    marked = np.stack([value[row] for row in regions])  # by rows, as indices become 64-bit
    return np.asarray(ndimage.maximum_filter(marked, 3))


@torch.inference_mode()
def confidence(
    image: Pixels,
    tile: int = _TILE,
    step: Callable[[int, int], object] = lambda done, total: None,
) -> npt.NDArray[np.float32]:
    """Compute the network's confidence that each pixel is damaged, on [0, 1].

    Args:
        image: uint8 (H, W, 3).
        tile: Side of a tile in pixels, a multiple of 16, which bounds the memory. It changes the
            values only by rounding errors, because a tile is read with its whole receptive field.
        step: As for `find_damage`.

    Returns:
        float32 (H, W).
    """
    height, width = image.shape[:2]
    net = _net()
    result = np.empty((height, width), np.float32)
    tiles = list(product(range(0, height, tile), range(0, width, tile)))
    for done, (top, left) in enumerate(tiles, 1):
        y = max(0, top - _MARGIN)
        x = max(0, left - _MARGIN)
        window = image[y : top + tile + _MARGIN, x : left + tile + _MARGIN]
        ends = [(0, -side % MULTIPLE) for side in window.shape[:2]]
        padded = np.pad(window, [*ends, (0, 0)], mode="symmetric")
        levels = net(to_batch([padded]).float() / 127.5 - 1).sigmoid()[0, 0].numpy()
        bottom = min(top + tile, height)
        right = min(left + tile, width)
        result[top:bottom, left:right] = levels[top - y : bottom - y, left - x : right - x]
        step(done, len(tiles))
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
