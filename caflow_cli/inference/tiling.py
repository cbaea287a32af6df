"""Draws of any size: in one piece, or in overlapping tiles of one noise field."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from ..devices import laid_out
from ..errors import CaflowError
from ..flows import to_uint8
from ..model import CAFlow, Condition
from ..tasks import Picture

__all__ = ["Tiles", "check_size", "draw", "encode_tiles", "plan_tiles", "score_tiles"]

# Pixels of the model's picture. One piece takes 0.4 kilobytes a pixel with the bundled models; of
# more, only noise, conditions and candidates are held, 50 bytes a pixel and 3 a candidate.
_ONE_PIECE = 2**21
_MOST = 2**26
# In units of 2^(n+1) pixels, the cell of the coarsest latent. What a tile's border changes fades
# with the distance. With the bundled model at temperature 0.9, 3 of them leave values 124 levels
# apart from those of one piece; 5 leave them within a level (docs/inference.md).
_MARGIN = 5  # what is dropped along the borders of a tile
_RAMP = 2  # over which one tile goes over into the next
_SIDE = 1024  # pixels


@dataclass(frozen=True)
class Tiles:
    """Overlapping windows of one size that cover a picture, in rows and columns."""

    size: tuple[int, int]  # height and width of the picture
    shape: tuple[int, int]  # height and width of a tile
    tops: tuple[int, ...]
    lefts: tuple[int, ...]
    ramp: int  # pixels over which two neighbours are blended, amid their overlap

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Top and left of each tile, row by row."""
        return ((top, left) for top in self.tops for left in self.lefts)

    def __len__(self) -> int:
        return len(self.tops) * len(self.lefts)


def check_size(size: tuple[int, int]) -> None:
    """CaflowError where the model would work on more pixels than anybody would wait for."""
    height, width = size
    if height * width > _MOST:
        times = math.ceil((height * width / _MOST) ** 0.5)
        raise CaflowError(
            f"the model would work on {width}×{height} pixels, more than {_MOST}",
            f"crop the picture, or shrink its sides {times} times",
        )


def plan_tiles(size: tuple[int, int], multiple: int, side: int | None = None) -> Tiles:
    """One tile where the picture fits into memory; else as few as cover it, and no larger.

    Neighbours overlap by 12 multiples or little more, all alike.

    Args:
        size: Height and width, multiples of `multiple`.
        multiple: 2^(n+1): where tiles start, so that they can slice latents.
        side: Largest side of a tile, a multiple and more than 8 of them. None: by size.
    """
    if side is None:
        side = max(size) if size[0] * size[1] <= _ONE_PIECE else _SIDE
    overlap = (2 * _MARGIN + _RAMP) * multiple

    def spread(length: int) -> tuple[int, tuple[int, ...]]:
        if length <= side:
            return length, (0,)
        steps = math.ceil((length - side) / (side - overlap))
        own = math.ceil((length + steps * overlap) / ((steps + 1) * multiple)) * multiple
        rest = length - own
        return own, tuple(step * rest // (steps * multiple) * multiple for step in range(steps + 1))

    (height, tops), (width, lefts) = map(spread, size)
    return Tiles(size, (height, width), tops, lefts, _RAMP * multiple)


def encode_tiles(model: CAFlow, condition: Picture, tiles: Tiles) -> list[Condition]:
    """The tiles of a condition of the picture's size, encoded each for itself."""
    return [model.encode_condition(_cut(condition, corner, tiles)) for corner in tiles]


def draw(
    model: CAFlow,
    encodings: Sequence[Condition],
    tiles: Tiles,
    tau: float,
    seed: int,
    count: int = 1,
) -> list[Picture]:
    """Draws of a picture from the seeds `seed`, `seed + 1`, ...: uint8 (H, W, C) each.

    Raises:
        CaflowError: A draw that is not finite.
    """
    if len(tiles) > 1:
        return [_blend(model, encodings, tiles, tau, seed + k) for k in range(count)]
    points = model.sample(encodings[0], tau, count, seed)[0]
    _check_finite(points, tau)
    return list(to_uint8(points).permute(0, 2, 3, 1).contiguous().cpu().numpy())


def _blend(
    model: CAFlow, encodings: Sequence[Condition], tiles: Tiles, tau: float, seed: int
) -> Picture:
    """One draw: the latents of the whole picture once, of which tiles are cut.

    Where tiles overlap, they hold the same latents and conditions and so, but for what their
    borders change, the same picture: each is used where it is nearest, and blended over a ramp
    between.
    """
    noise = model.latent_noise(seed, tiles.size)
    height, width = tiles.size
    rows, columns = tiles.shape
    down, right = (_weights(starts, side, tiles.ramp) for starts, side in _axes(tiles))
    channels = model.config.flow.target_channels
    picture = np.empty((height, width, channels), np.uint8)
    rest = np.zeros((0, width, channels), np.float32)  # of the row of tiles above, not yet complete
    encoded = iter(encodings)
    for top, vertical, end in zip(tiles.tops, down, (*tiles.tops[1:], height), strict=True):
        band = np.zeros((rows, width, channels), np.float32)
        band[: len(rest)] = rest
        for left, horizontal in zip(tiles.lefts, right, strict=True):
            latents = [tau * _cut_latent(z, (top, left), tiles) for z in noise]
            point, _ = model.decode(latents, next(encoded))
            _check_finite(point, tau)
            weight = (vertical[:, None] * horizontal)[:, :, None]
            band[:, left : left + columns] += weight * point[0].permute(1, 2, 0).cpu().numpy()
        complete = end - top
        picture[top:end] = np.floor(band[:complete]).clip(0, 255)
        rest = band[complete:]
    return picture


def score_tiles(
    model: CAFlow,
    target: Picture,
    encodings: Sequence[Condition],
    tiles: Tiles,
    noise_samples: int = 1,
) -> float:
    """`Σ log p(tile | its condition)` in nats, to rank by. Overlaps count twice: no density."""
    return sum(
        float(model.log_prob(_cut(target, corner, tiles), encoding, noise_samples))
        for corner, encoding in zip(tiles, encodings, strict=True)
    )


def _check_finite(points: Tensor, tau: float) -> None:
    if not bool(points.isfinite().all()):
        raise CaflowError(f"the model has no finite draw at tau {tau:g}", "--tau 1, or lower")


def _axes(tiles: Tiles) -> Iterator[tuple[tuple[int, ...], int]]:
    return zip((tiles.tops, tiles.lefts), tiles.shape, strict=True)


def _weights(starts: Sequence[int], side: int, ramp: int) -> list[np.ndarray]:
    """The share of each tile along one axis, (side,) float32: together 1 everywhere."""
    places = np.arange(starts[-1] + side) + 0.5
    # The share of all tiles from the k-th on: 1, then a ramp amid each overlap, then 0.
    shares = [np.ones_like(places)]
    for before, after in pairwise(starts):
        middle = (before + side + after) / 2
        shares.append(((places - middle) / ramp + 0.5).clip(0, 1))
    shares.append(np.zeros_like(places))
    return [
        (rise - fall)[start : start + side].astype(np.float32)
        for start, rise, fall in zip(starts, shares, shares[1:], strict=False)
    ]


def _cut(picture: Picture, corner: tuple[int, int], tiles: Tiles) -> Tensor:
    """A tile of a picture as a batch of one, (1, C, rows, columns)."""
    (top, left), (rows, columns) = corner, tiles.shape
    part = picture[top : top + rows, left : left + columns]
    return torch.from_numpy(np.ascontiguousarray(part)).permute(2, 0, 1)[None]


def _cut_latent(z: Tensor, corner: tuple[int, int], tiles: Tiles) -> Tensor:
    """A tile's part of a latent of the whole picture, as a batch of one."""
    cell = tiles.size[0] // z.shape[-2]
    (top, left), (rows, columns) = corner, tiles.shape
    rows, columns, top, left = rows // cell, columns // cell, top // cell, left // cell
    part = z[None, :, top : top + rows, left : left + columns]
    return laid_out(part)
