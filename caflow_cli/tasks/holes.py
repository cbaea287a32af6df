"""Holes for training inpainting: central, rectangles, strokes, or parts of masks."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw

from .base import Mask

if TYPE_CHECKING:
    import torch

# Draws a hole for an image of the given height and width.
HoleSource = Callable[[int, int, "torch.Generator"], Mask]

_RECTANGLES = 3  # in a hole, at most
_STROKES = 4  # in a hole, at most
_VERTICES = 6  # of a stroke
_SMALLEST = 0.75  # factor by which a mask is enlarged
_LARGEST = 2.0
_MOST = 0.4  # share of an image that a part of a mask may cover
_TRIES = 8


def central_hole(height: int, width: int) -> Mask:
    """The paper's hole: the central 25 % of the image, half as high and half as wide."""
    top = height // 4
    left = width // 4
    hole = np.zeros((height, width), np.bool_)
    hole[top : top + height // 2, left : left + width // 2] = True
    return hole


def spots_in(hole: Mask) -> list[tuple[slice, slice]]:
    """Rows and columns of the connected parts of a hole, that with the most pixels first; diagonal
    neighbors are connected."""
    from scipy import ndimage  # imported here, as enlargement does without it

    labels, _ = ndimage.label(hole, np.ones((3, 3)))
    boxes = ndimage.find_objects(labels)
    sizes = np.bincount(labels.ravel())[1:]
    return [boxes[part] for part in np.argsort(-sizes, kind="stable")]


def draw_hole(
    kind: str,
    height: int,
    width: int,
    generator: torch.Generator,
) -> Mask:
    """Draw a hole for a training image: (H, W), true = fill, never empty.

    Args:
        kind: "central"; "random": rectangles or strokes, with equal probability; or "mixed":
            central or random, with equal probability.
        generator: Every hole takes the same number of values from it.
    """
    import torch  # imported here, so that the tasks' defaults need no torch

    longest = max(4 * _RECTANGLES, _STROKES * (4 + 2 * _VERTICES))
    drawn = torch.rand(2 + longest, generator=generator)
    choice, many, *u = drawn.tolist()
    ways = {"central": 1, "random": 2, "mixed": 4}[kind]
    pick = int(choice * ways)  # of four, two are central
    if kind == "central" or pick >= 2:
        return central_hole(height, width)
    draw = _strokes if pick else _rectangles
    return draw(height, width, many, u)


def draw_from_masks(
    masks: Any,
    share: float,
    kind: str,
    height: int,
    width: int,
    generator: torch.Generator,
) -> Mask:
    """Draw a share of the holes from masks, and the others by `draw_hole`.

    A part of a mask is rotated by a random angle, mirrored with probability 1/2, and enlarged by a
    log-uniform factor of 0.75 to 2. A white pixel of the mask is placed at random in the image, so
    the hole is never empty. A hole that would cover more than 40 % of the image is drawn again;
    after eight attempts `draw_hole` takes over.

    Args:
        masks: A sequence of bool (H, W), true = fill, none of them empty.
        share: The share of holes from masks, in [0, 1].
        kind, height, width, generator: As for `draw_hole`.
    """
    import torch  # imported here, so that the tasks' defaults need no torch

    drawn = torch.rand(1 + 7 * _TRIES, generator=generator, dtype=torch.float64)
    choice, *u = drawn.tolist()
    if choice < share:
        for first in range(0, len(u), 7):
            which, *place = u[first : first + 7]
            hole = _part(masks[int(which * len(masks))], height, width, place)
            if hole.mean() <= _MOST:
                return hole
    return draw_hole(kind, height, width, generator)


def _part(
    mask: Mask,
    height: int,
    width: int,
    u: list[float],
) -> Mask:
    """Cut a part out of a mask: (H, W), with at least one white pixel.

    Args:
        mask: The mask, of any size.
        height, width: Of the part.
        u: Uniform in [0, 1): which white pixel, the row and the column where it goes, the angle,
            the factor, whether to mirror.
    """
    pixel, row, column, angle, scale, mirrored = u
    rows, columns = mask.nonzero()
    white = int(pixel * len(rows))
    factor = _SMALLEST * (_LARGEST / _SMALLEST) ** scale
    step = 1 / factor  # pixels of the mask per pixel
    sign = -1 if mirrored < 0.5 else 1
    below = np.arange(height) - int(row * height)
    beside = np.arange(width) - int(column * width)
    down = step * below[:, None]
    right = step * beside * sign
    turn = 2 * math.pi * angle
    cos = math.cos(turn)
    sin = math.sin(turn)
    y = rows[white] + cos * down - sin * right
    x = columns[white] + sin * down + cos * right
    places = np.rint([y, x]).astype(np.int64)
    inside = ((places >= 0) & (places < np.reshape(mask.shape, (2, 1, 1)))).all(0)
    y, x = np.where(inside, places, 0)
    return np.asarray(inside & mask[y, x])


def _rectangles(
    height: int,
    width: int,
    many: float,
    u: list[float],
) -> Mask:
    """Draw one to three rectangles; each side is 15 % to 60 % of the image's.

    Args:
        height, width: Of the hole.
        many: Uniform in [0, 1): how many.
        u: Uniform in [0, 1), four for each: height, width, row, column.
    """
    hole = np.zeros((height, width), np.bool_)
    count = 1 + int(many * _RECTANGLES)
    for first in range(0, 4 * count, 4):
        tall, wide, y, x = u[first : first + 4]
        h = max(1, round(height * (0.15 + 0.45 * tall)))
        w = max(1, round(width * (0.15 + 0.45 * wide)))
        top = int(y * (height - h + 1))
        left = int(x * (width - w + 1))
        hole[top : top + h, left : left + w] = True
    return hole


def _strokes(
    height: int,
    width: int,
    many: float,
    u: list[float],
) -> Mask:
    """Draw one to four polylines with round ends, with a width of 6 % to 20 % of the image.

    Args:
        height, width: Of the hole.
        many: Uniform in [0, 1): how many.
        u: Uniform in [0, 1), for each: where it begins, its direction, its width, and for each
            vertex a turn and a length.
    """
    side = min(height, width)
    image = Image.new("L", (width, height))
    draw = ImageDraw.Draw(image)
    count = 1 + int(many * _STROKES)
    each = 4 + 2 * _VERTICES
    for first in range(0, each * count, each):
        x, y, angle, thickness, *turns = u[first : first + each]
        x *= width
        y *= height
        points = [(x, y)]
        angle *= 2 * math.pi
        for turn, length in zip(turns[::2], turns[1::2], strict=True):
            angle += (turn - 0.5) * math.pi
            step = side * (0.05 + 0.25 * length)
            x = min(max(x + step * math.cos(angle), 0), width - 1)
            y = min(max(y + step * math.sin(angle), 0), height - 1)
            points.append((x, y))
        radius = side * (0.03 + 0.07 * thickness)
        thick = max(1, round(2 * radius))
        draw.line(points, fill=255, width=thick, joint="curve")
        for x, y in (points[0], points[-1]):
            box = (x - radius, y - radius, x + radius, y + radius)
            draw.ellipse(box, fill=255)
    return np.asarray(image) > 0
