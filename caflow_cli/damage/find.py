"""From a photograph to the mask of its damage."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from itertools import product
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file
from scipy import ndimage
from torch import nn

from ..assets import ASSETS
from ..config import HOLE
from ..errors import EXIT_WEIGHTS, CaflowError, check_usage
from ..images import Pixels, Raster
from ..images.color import Floats
from ..layers import fold
from ..tasks.arguments import ImageLike, as_input
from ..tasks.sizes import padded_size
from ..tasks.tiles import plan_tiles
from .net import MULTIPLE, DamageNet

Progress: TypeAlias = Callable[[int, int], object]  # tiles done and in total

_EXTENT = 0.7  # share of the threshold above which a region extends
_RIM = 9  # side of the square around a pixel above the threshold in which a region extends freely
_WIDE = 3  # half the side of a square; a part of a region farther away in which it fits
_WIDER = 1.5  # must not be as wide as what is above the threshold, divided by this
_NEIGHBORS = np.ones((3, 3))
_DOUBTFUL = 0.05  # confidence above which damage is where somebody has painted that it is
_FEW = 0.1  # share of a stroke below which too little is found near it
_CERTAIN = 9.0  # how many times the threshold's odds some pixel of a damaged image has
_GAP = 4  # regions twice as many pixels apart count as one, because cracks go on
_SIDE = 2304  # of a window, in pixels
_MARGIN = 160  # pixels of a window that another one computes


def find_damage(
    image: ImageLike,
    threshold: float = 0.5,
    step: Progress = lambda done, total: None,
    alpha: bool | None = None,
) -> Pixels:
    """Find dust, scratches, hairs, spots, cracks and tears in a photograph.

    Args:
        image: A path, a PIL image, or an array, uint8 (H, W, 3) or gray; see `as_image`.
        threshold: On (0, 1); lower finds more damage, with more false positives. A region where
            the network's confidence is above 0.7 of the threshold is marked if it exceeds the
            threshold somewhere, or is linked to such a region by gaps of at most 8 pixels. A part
            of it that is more than 4 pixels from what exceeds the threshold, and into which a
            square of 5 pixels fits, counts only if it is at most 2/3 as wide as what exceeds the
            threshold: a crack does not grow into what is wider. Marks are grown by one pixel.
            Nothing is marked unless the odds of some pixel of the image, p / (1 - p), are 9 times
            the threshold's: lone doubtful marks are mostly wrong.
        step: Called after each tile with the number of tiles done and their total.
        alpha: As for `as_image`.

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
    return damage_of(as_input(image, alpha=alpha).image, threshold, step)


def damage_of(photo: Raster, threshold: float, step: Progress = lambda done, total: None) -> Pixels:
    """`find_damage` in an image that is read."""
    return marks(confidence_of(photo, step), threshold)


def confidence_of(photo: Raster, step: Progress = lambda done, total: None) -> Floats:
    """`confidence` in an image that is read."""
    return confidence(photo.converted(None).rounded(8).filled(), step=step)


def snapped(paint: Pixels, levels: Floats) -> Pixels:
    """Move what is painted roughly onto the damage below it.

    Args:
        paint: uint8 (H, W), 128 and above where it is painted.
        levels: The network's confidence, (H, W). Each connected stroke becomes what exceeds 0.05
            on it and at most half its width beside it, or stays if that is less than a tenth of it.

    Returns:
        uint8 (H, W), 255 or 0.
    """
    strokes, _ = ndimage.label(paint >= HOLE, _NEIGHBORS)
    result = np.zeros_like(paint)
    for number, box in enumerate(ndimage.find_objects(strokes), 1):
        half = ndimage.distance_transform_edt(np.pad(strokes[box] == number, 1)).max()
        margin = math.ceil(half)
        near = tuple(slice(max(0, part.start - margin), part.stop + margin) for part in box)
        stroke = strokes[near] == number
        found = ndimage.distance_transform_edt(~stroke) <= half
        found &= levels[near] > _DOUBTFUL
        result[near][found if found.sum() >= _FEW * stroke.sum() else stroke] = 255
    return result


def marks(levels: Floats, threshold: float) -> Pixels:
    """Make the mask of the network's confidence (H, W) as `find_damage` states."""
    if levels.max() <= 1 / (1 + (1 / threshold - 1) / _CERTAIN):
        return np.zeros(levels.shape, np.uint8)
    certain = levels > threshold
    extent = levels > _EXTENT * threshold
    regions, count = ndimage.label(ndimage.maximum_filter(extent, 2 * _GAP + 1), _NEIGHBORS)
    width = _widths(certain, regions, count)
    extent &= np.stack([width[row] > 0 for row in regions])  # by rows: indices become 64-bit
    parts, count = ndimage.label(extent & ~ndimage.maximum_filter(certain, _RIM), _NEIGHBORS)
    beside = np.zeros(count + 1, np.int32)
    beside[parts[parts > 0]] = width[regions[parts > 0]]
    own = _widths(extent, parts, count)
    wider = (own >= _WIDE) & (own > beside / _WIDER)
    extent &= np.stack([~wider[row] for row in parts])
    return np.asarray(ndimage.maximum_filter(extent.view(np.uint8) * np.uint8(255), 3))


def _widths(
    mask: npt.NDArray[np.bool_], labels: npt.NDArray[np.int32], count: int
) -> npt.NDArray[np.int32]:
    """For each label, half the side of the largest square in the mask around a pixel of its own."""
    distance = ndimage.distance_transform_cdt(mask, "chessboard")
    widths = np.zeros(count + 1, np.int32)
    inside = mask & (labels > 0)
    np.maximum.at(widths, labels[inside], distance[inside])
    return widths


@torch.inference_mode()
def confidence(
    image: Pixels,
    side: int = _SIDE,
    step: Progress = lambda done, total: None,
) -> Floats:
    """Compute the network's confidence that each pixel is damaged, on [0, 1].

    Args:
        image: uint8 (H, W, 3).
        side: The longest side of a window in pixels, which bounds the memory. It changes the values
            only by rounding errors, because windows overlap by the whole receptive field.
        step: As for `find_damage`.

    Returns:
        float32 (H, W).
    """
    height, width = image.shape[:2]
    net = _net()
    size = padded_size(height, width, MULTIPLE)
    beyond = [(0, size[0] - height), (0, size[1] - width), (0, 0)]
    padded = np.pad(image, beyond, "symmetric")
    result = np.empty(size, np.float32)
    tiles = plan_tiles(size, MULTIPLE, side, _MARGIN // MULTIPLE, ramp=0)
    high, wide = tiles.shape
    parts = product(tiles.nearest(0), tiles.nearest(1))
    for done, ((top, left), (rows, columns)) in enumerate(zip(tiles, parts, strict=True), 1):
        part = np.ascontiguousarray(padded[top : top + high, left : left + wide])
        window = torch.from_numpy(part).permute(2, 0, 1)[None].float()
        levels = net(window / 127.5 - 1).sigmoid()[0, 0].numpy()
        inner = levels[rows.start - top : rows.stop - top, columns.start - left :]
        result[rows, columns] = inner[:, : columns.stop - columns.start]
        step(done, len(tiles))
    return result[:height, :width]


@cache
def _net() -> nn.Module:
    path = ASSETS / "damage.safetensors"
    if not path.exists():
        message = "this installation lacks the weights that find damage"
        raise CaflowError(message, "install caflow from a wheel", EXIT_WEIGHTS)
    net = DamageNet()
    net.load_state_dict(load_file(path))
    return fold(net)
