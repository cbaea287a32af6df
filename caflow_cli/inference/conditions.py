"""Drawing and scoring under conditions, in one piece or in tiles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from ..flows import to_uint8
from ..layers.guides import Moments
from ..model import CAFlow, Condition
from ..tasks import Picture
from ..temperature import Tau, Temperature
from .domain import Statistics, statistics
from .latents import LatentRows, Latents, in_cells
from .progress import Steps
from .redraw import Sampled, decode_noise, draw_sound
from .tiling import Corner, Tiles, plan_tiles

__all__ = ["InTiles", "OnePiece", "read_conditions"]


def read_conditions(model: CAFlow, cond: Tensor, bf16: bool = False) -> OnePiece | InTiles:
    """Read conditions of one size, uint8 (B, C, H, W), in one piece if they fit into memory.

    With `bf16` draws, and they alone, compute nets in bfloat16.
    """
    size = (cond.shape[-2], cond.shape[-1])
    tiles = plan_tiles(size, model.config.flow.multiple)
    return OnePiece(model, cond, bf16) if len(tiles) == 1 else InTiles(model, cond, tiles, bf16)


class OnePiece:
    """Conditions that are computed once, as one batch, and kept: 0.4 kilobytes a pixel."""

    def __init__(self, model: CAFlow, cond: Tensor, bf16: bool = False) -> None:
        self._model, self._cond, self._bf16 = model, cond, bf16
        self.condition = model.encode_condition(cond)
        self.size = self.condition.size  # height and width

    def steps(self, count: int) -> int:
        """How many steps it takes to draw, or to score, so many pictures."""
        return 1

    def draw(
        self,
        tau: Tau,
        latents: Sequence[Latents],
        strict: bool = True,
        steps: Steps | None = None,
    ) -> list[Sampled]:
        """Draw one picture from the next latents of each.

        What runs away (`runaway_cells`) is drawn again, alone, of the next latents of its
        generator: other draws stay as they are.

        Args:
            tau: Temperature.
            latents: Equally many for each condition, as neighbours.
            strict: Draw again what runs away; else take every first draw.
            steps: Counts.

        Returns:
            Pictures uint8 (H, W, C), in the order of the latents.

        Raises:
            CaflowError: A draw and its ten redraws run away, and `strict` is set.
        """
        noise = [of_one() for of_one in latents]
        points, cells = self._decode(self.condition, tau, noise)
        drawn = [Sampled(picture, 0) for picture in _pictures(points)]
        if strict:
            each = len(latents) // self.condition.batch
            for place in cells.flatten(1).any(1).cpu().nonzero().flatten().tolist():
                first = noise[place], latents[place]
                drawn[place] = self._draw_alone(self._condition_of(place // each), tau, *first)
        if steps is not None:
            steps.step("drawn")
        return drawn

    def _condition_of(self, row: int) -> Condition:
        """The condition of one row, as it is where that is the only one."""
        if self.condition.batch == 1:
            return self.condition
        return self._model.encode_condition(self._cond[row, None])

    def _draw_alone(
        self, condition: Condition, tau: Tau, first: list[Tensor], fresh: Latents
    ) -> Sampled:
        """A draw by itself, one that has run away among others."""

        def draw(_: Tensor | None) -> tuple[Picture, Tensor]:
            latents = self._latents(tau, [first])
            points, cells = decode_noise(self._model, condition, latents, self._bf16)
            return _pictures(points)[0], cells[0]

        def exchange(cells: Tensor) -> None:
            for z, other in zip(first, fresh.one_by_one(), strict=True):
                torch.where(in_cells(cells, z.shape[-1]), other, z, out=z)

        return draw_sound(draw, exchange, tau)

    def _decode(
        self, condition: Condition, tau: Tau, noise: Sequence[list[Tensor]]
    ) -> tuple[Tensor, Tensor]:
        """Points of that noise, (B, C, H, W), and where they run away."""
        return decode_noise(self._model, condition, self._latents(tau, noise), self._bf16)

    def _latents(self, tau: Tau, noise: Sequence[list[Tensor]]) -> list[Tensor]:
        """The latents of that noise, as one batch."""
        device, dtype = self._model.device, self._model.dtype
        taus = Temperature.of(tau).of_latents(self._model.config.flow.latent_scales)
        stacked = (torch.stack(z).to(device, dtype) for z in zip(*noise, strict=True))
        return [own * z for own, z in zip(taus, stacked, strict=True)]

    def log_prob(
        self, targets: Tensor, noise_samples: int, steps: Steps | None = None
    ) -> tuple[list[float], Tensor]:
        """Score pictures, uint8 (B or B M, C, H, W), in nats, with what each of the K noise draws
        says, (K, B)."""
        value, deviations = self._model.log_prob_with_deviations(
            targets, self.condition, noise_samples
        )
        if steps is not None:
            steps.step("scored")
        return value.tolist(), deviations.cpu()

    @property
    def statistics(self) -> Statistics:
        """`domain.statistics` of each condition, (B, S)."""
        return statistics(self.condition)


class InTiles:
    """Conditions that are too large for one piece.

    A tile is computed when it is drawn or scored, and then dropped, because all tiles at once would
    take gigabytes.
    """

    def __init__(self, model: CAFlow, cond: Tensor, tiles: Tiles, bf16: bool = False) -> None:
        self._model, self._cond, self._tiles, self._bf16 = model, cond, tiles, bf16
        self.size = tiles.size
        self._statistics: dict[tuple[int, Corner], Statistics] = {}
        self._moments: dict[int, Moments] = {}

    def steps(self, count: int) -> int:
        """As of `OnePiece`."""
        return count * len(self._tiles)

    def draw(
        self,
        tau: Tau,
        latents: Sequence[Latents],
        strict: bool = True,
        steps: Steps | None = None,
    ) -> list[Sampled]:
        """Draw as `OnePiece.draw`, with one field of noise for each picture, cut into tiles.

        Where a tile runs away, all tiles that see the place are drawn again with other noise there.
        """
        drawn, each = [], len(latents) // len(self._cond)
        channels = self._model.config.flow.target_channels
        for place, of_one in enumerate(latents):
            picture = np.empty((*self.size, channels), np.uint8)
            noise = LatentRows(of_one, self.size[0])
            draw = partial(self._draw_into, picture, place // each, tau, noise, steps or Steps())
            if strict:
                drawn.append(draw_sound(draw, noise.exchange, tau))
            else:
                draw(None)
                drawn.append(Sampled(picture, 0))
        return drawn

    def log_prob(
        self, targets: Tensor, noise_samples: int, steps: Steps | None = None
    ) -> tuple[list[float], None]:
        """Sum `log p(tile | its condition)` over tiles, in nats, for ranking.

        Overlaps count twice. The sum is not a log-density, and noise draws say nothing of it.
        """
        each = len(targets) // len(self._cond)
        sums = [0.0] * len(targets)
        for row in range(len(self._cond)):
            for number, corner in enumerate(self._tiles, 1):
                own = slice(row * each, (row + 1) * each)
                tiles = self._tiles.cut(targets[own], corner).split(1)
                for place, nats in enumerate(self._score_tile(row, corner, tiles, noise_samples)):
                    sums[row * each + place] += nats
                    if steps is not None:
                        steps.step("scored", (number, len(self._tiles)))
        return sums, None

    @property
    def statistics(self) -> Statistics:
        """`domain.statistics` of each condition, as the mean over its tiles: (B, S).

        They are kept when a tile is first computed, so that they cost nothing after a draw.
        """
        for row in range(len(self._cond)):
            for corner in self._tiles:
                if (row, corner) not in self._statistics:
                    self._read(row, corner)
        return np.stack(
            [
                np.concatenate([self._statistics[row, corner] for corner in self._tiles]).mean(0)
                for row in range(len(self._cond))
            ]
        )

    def _read(self, row: int, corner: Corner) -> Condition:
        tile = self._tiles.cut(self._cond[row, None], corner)
        if self._model.config.flow.normalises:
            with self._moments_of(row).used():
                condition = self._model.encode_condition(tile)
        else:
            condition = self._model.encode_condition(tile)
        if (row, corner) not in self._statistics:
            self._statistics[row, corner] = statistics(condition)
        return condition

    def _moments_of(self, row: int) -> Moments:
        """The moments by which a guide that normalises reads the tiles of a condition.

        They are those of places spread over the picture: each tile's own ones would make
        neighbours differ.
        """
        if row not in self._moments:
            self._moments[row] = Moments()
            with self._moments[row].recorded():
                self._model.encode_condition(self._tiles.places(self._cond[row, None]))
        return self._moments[row]

    # A tile's condition takes 0.4 kilobytes a pixel. It goes as these methods end, so that of the
    # next tile is not computed beside it.

    def _draw_tile(
        self, row: int, corner: Corner, latents: list[Tensor]
    ) -> tuple[np.ndarray, Tensor]:
        """The point of a tile, (rows, columns, C), and where it runs away."""
        condition = self._read(row, corner)
        point, cells = decode_noise(self._model, condition, latents, self._bf16)
        return point[0].permute(1, 2, 0).cpu().numpy(), cells[0].cpu()

    def _score_tile(
        self, row: int, corner: Corner, tiles: Sequence[Tensor], noise_samples: int
    ) -> Iterator[float]:
        """The score of one tile of several pictures, in nats, one after the other."""
        condition = self._read(row, corner)
        for tile in tiles:
            yield float(self._model.log_prob(tile, condition, noise_samples))

    def _draw_into(
        self,
        picture: Picture,
        row: int,
        tau: Tau,
        noise: LatentRows,
        steps: Steps,
        changed: Tensor | None,
    ) -> tuple[Picture, Tensor]:
        """Draw from the noise of the whole picture, which is cut into tiles. Returns the picture,
        and where it runs away.

        Overlapping tiles have the same latents and conditions, so they draw the same picture except
        near their borders. Each pixel is taken from the nearest tile. Between two tiles a ramp
        blends them.

        Args:
            picture: uint8 (H, W, C), which is filled. It holds the last draw where there is one.
            row: Of the condition.
            tau: Temperature.
            noise: Of the whole picture.
            steps: Counts.
            changed: The cells in which it is other noise than at the last draw. Only tiles that see
                one, and the tiles that these overlap, are drawn again.
        """
        tiles = self._tiles
        taus = Temperature.of(tau).of_latents(self._model.config.flow.latent_scales)
        (height, width), (rows, columns) = tiles.size, tiles.shape
        cell, channels = self._model.config.flow.multiple, picture.shape[2]
        away = torch.zeros(height // cell, width // cell, dtype=torch.bool)
        new = list(tiles) if changed is None else tiles.touching(changed, cell)
        drawn = list(tiles) if changed is None else tiles.overlapping(new)
        if changed is not None:
            steps.more(len(drawn))
        # What is not yet complete of the tiles above: sums of weighted pixels, and what is new.
        rest, fresh = np.zeros((0, width, channels), np.float32), np.zeros((0, width), np.bool_)
        ends, across = (*tiles.tops[1:], height), tiles.column_weights()
        for top, vertical, end in zip(tiles.tops, tiles.row_weights(), ends, strict=True):
            band, written = (
                np.zeros((rows, width, channels), np.float32),
                np.zeros((rows, width), bool),
            )
            band[: len(rest)], written[: len(fresh)] = rest, fresh
            in_row = any(corner[0] == top for corner in drawn)
            own_rows = noise.rows(top, top + rows) if in_row else []
            for left, horizontal in zip(tiles.lefts, across, strict=True):
                corner = (top, left)
                written[:, left : left + columns] |= corner in new
                if corner not in drawn:
                    continue
                latents = [
                    own * tiles.cut_latent(z, left) for own, z in zip(taus, own_rows, strict=True)
                ]
                point, cells = self._draw_tile(row, corner, latents)
                place = away[top // cell :, left // cell :]
                place[: cells.shape[0], : cells.shape[1]] |= cells
                weight = (vertical[:, None] * horizontal)[:, :, None]
                band[:, left : left + columns] += weight * point
                steps.step("drawn", (drawn.index(corner) + 1, len(drawn)))
            complete = end - top
            done = band[:complete]
            np.floor(done, out=done).clip(0, 255, out=done)
            np.copyto(picture[top:end], done, where=written[:complete, :, None], casting="unsafe")
            rest, fresh = band[complete:], written[complete:]
        return picture, away


def _pictures(points: Tensor) -> list[Picture]:
    """Round floats (B, C, H, W) on the 8-bit scale to pictures."""
    return list(to_uint8(points).permute(0, 2, 3, 1).contiguous().cpu().numpy())
