"""Tiles: overlapping windows of one size, in which images too large for memory are drawn and
scored."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from ..devices import to_layout
from ..errors import CaflowError
from ..layers.guides import Moments
from ..model import CAFlow, Condition
from ..tasks import Pixels
from ..temperature import Tau, Temperature
from .domain import Statistics, statistics
from .draw import Latents, OnePiece, Steps, decode_noise, in_cells, resampled

__all__ = ["InTiles", "LatentRows", "Tiles", "check_size", "plan_tiles", "read_conditions"]

# Pixels of the model's image. One piece takes 0.9 kilobytes a pixel with the bundled models; of
# more, only conditions, candidates and a band of noise are held (docs/inference.md).
_ONE_PIECE = 2**21
_MOST = 2**26
# In units of 2^(n+1) pixels, the cell of the coarsest latent. What a tile's border changes fades
# with the distance. With the bundled model at temperature 0.9, 3 of them leave values 124 levels
# apart from those of one piece; 5 leave them within a level (docs/inference.md).
_MARGIN = 5  # what is dropped along the borders of a tile
_RAMP = 2  # over which one tile goes over into the next
_SIDE = 1024  # pixels
_PLACE, _PLACES = 256, 4  # the side of a place in pixels, and how many there are along an axis

Corner = tuple[int, int]  # top and left of a tile


@dataclass(frozen=True)
class Tiles:
    """Overlapping windows of one size that cover an image, in rows and columns."""

    size: tuple[int, int]  # height and width of the image
    shape: tuple[int, int]  # height and width of a tile
    tops: tuple[int, ...]
    lefts: tuple[int, ...]
    ramp: int  # pixels over which two neighbours are blended, amid their overlap

    def __iter__(self) -> Iterator[Corner]:
        """Iterate over the corners of the tiles, row by row."""
        return ((top, left) for top in self.tops for left in self.lefts)

    def __len__(self) -> int:
        return len(self.tops) * len(self.lefts)

    def cut(self, images: Tensor, corner: Corner) -> Tensor:
        """Cut a tile from images: (B, C, height, width) to (B, C, rows, columns)."""
        (top, left), (rows, columns) = corner, self.shape
        return images[..., top : top + rows, left : left + columns]

    def places(self, images: Tensor) -> Tensor:
        """Parts of one image, at most 4×4 of 256×256 pixels, spread evenly: (parts, C, h, w)."""

        def starts(length: int) -> list[int]:
            side = min(length, _PLACE)
            count = max(1, min(_PLACES, length // side))
            return [(length - side) * k // max(1, count - 1) // 32 * 32 for k in range(count)]

        (height, width), (tops, lefts) = self.size, map(starts, self.size)
        h, w = min(height, _PLACE), min(width, _PLACE)
        parts = [images[..., top : top + h, left : left + w] for top in tops for left in lefts]
        return to_layout(torch.cat(parts))

    def touching(self, cells: Tensor, cell: int) -> list[Corner]:
        """The tiles that see one of the cells of an image that are true, (rows, columns).

        Args:
            cells: bool.
            cell: The side of each, in pixels.
        """
        rows, columns = (side // cell for side in self.shape)
        return [
            (top, left)
            for top, left in self
            if cells[top // cell :, left // cell :][:rows, :columns].any()
        ]

    def overlapping(self, corners: Sequence[Corner]) -> list[Corner]:
        """The tiles that have pixels in common with one of these, and these."""
        rows, columns = self.shape
        return [
            (top, left)
            for top, left in self
            if any(abs(top - t) < rows and abs(left - l) < columns for t, l in corners)
        ]

    def row_weights(self) -> list[np.ndarray]:
        """The blending weights of each row of tiles, along the height, (rows,) float32."""
        return _weights(self.tops, self.shape[0], self.ramp)

    def column_weights(self) -> list[np.ndarray]:
        """The blending weights of each column of tiles, along the width, (columns,) float32."""
        return _weights(self.lefts, self.shape[1], self.ramp)


def _weights(starts: Sequence[int], side: int, ramp: int) -> list[np.ndarray]:
    """The blending weights of tiles along an axis, (side,) float32; they sum to 1 everywhere."""
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


def check_size(size: tuple[int, int]) -> None:
    """Refuse images with so many pixels that drawing would take too long: CaflowError."""
    height, width = size
    if height * width > _MOST:
        times = math.ceil(10 * (height * width / _MOST) ** 0.5) / 10
        raise CaflowError(
            f"the model would draw {width}×{height}, {height * width / 1e6:.0f} megapixels: more "
            f"than {_MOST / 1e6:.0f}",
            f"crop the image into {math.ceil(height * width / _MOST)} parts or more; or shrink "
            f"its sides {times:g} times before (--scale changes only the size of what is written)",
        )


def plan_tiles(size: tuple[int, int], multiple: int, side: int | None = None) -> Tiles:
    """Plan one tile if the image fits into memory, else as few and as small tiles as cover it.

    All neighbours overlap about equally, by 12 multiples or slightly more. Tiles start at every
    second multiple: so each sees the image as it is seen whole.

    Args:
        size: Height and width, multiples of `multiple`.
        multiple: 2^(n+1).
        side: About the largest side of a tile: a multiple of `multiple`, and at least 16 times it.
            None: chosen by size.
    """
    overlap = (2 * _MARGIN + _RAMP) * multiple
    if side is None:
        in_tiles = _SIDE if overlap < _SIDE else 2 * overlap  # from n = 6 on
        side = max(size) if size[0] * size[1] <= _ONE_PIECE else in_tiles
    # Trunks read every other block at half of the coarsest resolution.
    cell = 2 * multiple

    def spread(length: int) -> tuple[int, tuple[int, ...]]:
        if length <= side:
            return length, (0,)
        steps = math.ceil((length - side) / (side - overlap))
        own = math.ceil((length + steps * overlap) / ((steps + 1) * multiple)) * multiple
        while (length - own) % cell or own - overlap < math.ceil(
            (length - own) / steps / cell
        ) * cell:
            own += multiple
        rest = length - own
        return own, tuple(step * rest // (steps * cell) * cell for step in range(steps + 1))

    (height, tops), (width, lefts) = map(spread, size)
    return Tiles(size, (height, width), tops, lefts, _RAMP * multiple)


def read_conditions(model: CAFlow, cond: Tensor, bf16: bool = False) -> OnePiece | InTiles:
    """Read conditions of one size, uint8 (B, C, H, W), in one piece if they fit into memory.

    With `bf16` samples, and they alone, compute networks in bfloat16.
    """
    size = (cond.shape[-2], cond.shape[-1])
    tiles = plan_tiles(size, model.config.flow.multiple)
    return OnePiece(model, cond, bf16) if len(tiles) == 1 else InTiles(model, cond, tiles, bf16)


class LatentRows:
    """The next latents of a large image, of which a few rows at a time are held.

    All of them would take 12 bytes a pixel. So they are drawn again from the generator for every
    band of rows, one latent after the other.

    Args:
        latents: The generator. It stands behind what was taken from it whenever rows are.
        height: Of the image, in pixels.
    """

    def __init__(self, latents: Latents, height: int) -> None:
        self._latents, self._height = latents, height
        self._start = latents.generator.get_state()
        self._exchanged: list[Tensor] = []

    def exchange(self, cells: Tensor) -> None:
        """Let the generator's next latents count in those cells of the image, bool (rows,
        columns)."""
        self._exchanged.append(cells)

    def rows(self, first: int, last: int) -> list[Tensor]:
        """The latents of some rows of pixels, (C, h', w) each."""
        self._latents.generator.set_state(self._start)
        found = []
        for z in self._latents.one_by_one():
            found.append(self._band(z, first, last).clone())
            del z  # before the next one is drawn
        for cells in self._exchanged:
            for z, fresh in zip(found, self._latents.one_by_one(), strict=True):
                places = self._band(in_cells(cells, fresh.shape[-1])[None], first, last)
                torch.where(places, self._band(fresh, first, last), z, out=z)
        return found

    def _band(self, z: Tensor, first: int, last: int) -> Tensor:
        cell = self._height // z.shape[-2]
        return z[:, first // cell : last // cell]


class InTiles:
    """Conditions that are too large for one piece.

    A tile is computed when it is drawn or scored, and then dropped, because all tiles at once would
    take gigabytes. Arguments are those of `OnePiece`, and the tiles.
    """

    def __init__(self, model: CAFlow, cond: Tensor, tiles: Tiles, bf16: bool = False) -> None:
        self._model, self._cond, self._tiles, self._bf16 = model, cond, tiles, bf16
        self.size, self.tiles = tiles.size, len(tiles)
        self._statistics: dict[tuple[int, Corner], Statistics] = {}
        self._moments: dict[int, Moments] = {}

    def draw(
        self,
        tau: Tau,
        latents: Sequence[Latents],
        strict: bool = True,
        steps: Steps | None = None,
    ) -> list[tuple[Pixels, int]]:
        """Draw as `OnePiece.draw`, with one field of noise for each image, cut into tiles.

        Where a tile diverged, all tiles that see the place are drawn again with other noise there.
        """
        found: list[tuple[Pixels, int]] = []
        each = len(latents) // len(self._cond)
        for place, of_one in enumerate(latents):
            image = np.empty((*self.size, self._model.config.flow.target_channels), np.uint8)
            noise = LatentRows(of_one, self.size[0])
            draw = partial(self._draw_into, image, place // each, tau, noise, steps or Steps())
            found.append(resampled(draw, noise.exchange) if strict else (draw(None)[0], 0))
        return found

    def log_prob(
        self, targets: Tensor, noise_samples: int, steps: Steps | None = None
    ) -> tuple[list[float], None]:
        """Sum `log p(tile | its condition)` over tiles, in nats, for ranking.

        Overlaps count twice. The sum is not a log-density, and noise draws say nothing of it.
        """
        each = len(targets) // len(self._cond)
        sums = [0.0] * len(targets)
        for row in range(len(self._cond)):
            own = slice(row * each, (row + 1) * each)
            for number, corner in enumerate(self._tiles, 1):
                parts = self._tiles.cut(targets[own], corner).split(1)
                for place, nats in enumerate(self._score_tile(row, corner, parts, noise_samples)):
                    sums[row * each + place] += nats
                    if steps is not None:
                        steps.step("scored", (number, len(self._tiles)))
        return sums, None

    @property
    def statistics(self) -> Statistics:
        """`domain.statistics` of each condition, as the mean over its tiles: (B, S).

        They are kept when a tile is first computed, so that they cost nothing after a sample.
        """
        for row in range(len(self._cond)):
            for corner in self._tiles:
                if (row, corner) not in self._statistics:
                    self.read(row, corner)
        rows = ([self._statistics[r, c] for c in self._tiles] for r in range(len(self._cond)))
        return np.stack([np.concatenate(row).mean(0) for row in rows])

    def read(self, row: int, corner: Corner) -> Condition:
        """Compute the condition of a tile.

        A guide that normalises reads it by moments of places spread over the image: each tile's own
        ones would make neighbours differ.
        """
        tile = self._tiles.cut(self._cond[row, None], corner)
        if self._model.config.flow.guide_net == "unet":
            if row not in self._moments:
                self._moments[row] = Moments()
                with self._moments[row].recorded():
                    self._model.encode_condition(self._tiles.places(self._cond[row, None]))
            with self._moments[row].used():
                condition = self._model.encode_condition(tile)
        else:
            condition = self._model.encode_condition(tile)
        if (row, corner) not in self._statistics:
            self._statistics[row, corner] = statistics(condition)
        return condition

    # A tile's condition takes 0.4 kilobytes a pixel. It goes as these methods end, so that of the
    # next tile is not computed beside it.

    def _draw_tile(
        self, row: int, corner: Corner, latents: list[Tensor]
    ) -> tuple[np.ndarray, Tensor]:
        """The point of a tile, (rows, columns, C), and where it diverged."""
        condition = self.read(row, corner)
        point, cells = decode_noise(self._model, condition, latents, self._bf16)
        return point[0].permute(1, 2, 0).cpu().numpy(), cells[0].cpu()

    def _score_tile(
        self, row: int, corner: Corner, tiles: Sequence[Tensor], noise_samples: int
    ) -> Iterator[float]:
        """The score of one tile of several images, in nats, one after the other."""
        condition = self.read(row, corner)
        for tile in tiles:
            yield float(self._model.log_prob(tile, condition, noise_samples))

    def _draw_into(
        self,
        image: Pixels,
        row: int,
        tau: Tau,
        noise: LatentRows,
        steps: Steps,
        changed: Tensor | None,
    ) -> tuple[Pixels, Tensor]:
        """Draw from the noise of the whole image, which is cut into tiles. Returns the image, and
        where it diverged.

        Overlapping tiles have the same latents and conditions, so they draw the same image except
        near their borders. Each pixel is taken from the nearest tile. Between two tiles a ramp
        blends them.

        Args:
            image: uint8 (H, W, C), which is filled. It holds the last sample where there is one.
            row: Of the condition.
            tau: Temperature.
            noise: Of the whole image.
            steps: Counts.
            changed: The cells in which it is other noise than at the last call. Only tiles that see
                one, and the tiles that these overlap, are drawn again.
        """
        tiles = self._tiles
        taus = Temperature.of(tau).of_latents(self._model.config.flow.latent_scales)
        (height, width), (rows, columns) = tiles.size, tiles.shape
        cell, channels = self._model.config.flow.multiple, image.shape[2]
        away = torch.zeros(height // cell, width // cell, dtype=torch.bool)
        new = list(tiles) if changed is None else tiles.touching(changed, cell)
        drawn = list(tiles) if changed is None else tiles.overlapping(new)
        if changed is not None:
            steps.total += len(drawn)
        # What is not yet complete of the tiles above: sums of weighted pixels, and what is new.
        rest, fresh = np.zeros((0, width, channels), np.float32), np.zeros((0, width), np.bool_)
        ends, across = (*tiles.tops[1:], height), tiles.column_weights()
        for top, vertical, end in zip(tiles.tops, tiles.row_weights(), ends, strict=True):
            band = np.zeros((rows, width, channels), np.float32)
            written = np.zeros((rows, width), bool)
            band[: len(rest)], written[: len(fresh)] = rest, fresh
            in_row = any(corner[0] == top for corner in drawn)
            own_rows = noise.rows(top, top + rows) if in_row else []
            for left, horizontal in zip(tiles.lefts, across, strict=True):
                corner = (top, left)
                written[:, left : left + columns] |= corner in new
                if corner not in drawn:
                    continue
                latents = []
                for own, z in zip(taus, own_rows, strict=True):
                    size = width // z.shape[-1]  # of a latent's cell, in pixels
                    part = z[None, :, :, left // size : (left + columns) // size]
                    latents.append(own * to_layout(part))
                point, cells = self._draw_tile(row, corner, latents)
                place = away[top // cell :, left // cell :]
                place[: cells.shape[0], : cells.shape[1]] |= cells
                weight = (vertical[:, None] * horizontal)[:, :, None]
                band[:, left : left + columns] += weight * point
                steps.step("drawn", (drawn.index(corner) + 1, len(drawn)))
            complete = end - top
            done = band[:complete]
            np.floor(done, out=done).clip(0, 255, out=done)
            np.copyto(image[top:end], done, where=written[:complete, :, None], casting="unsafe")
            rest, fresh = band[complete:], written[complete:]
        return image, away
