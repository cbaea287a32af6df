"""Sample and score under conditions of one size: latents, tiles, divergence, resampling."""

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from ..config import Tau
from ..devices import trim_memory
from ..flows import standard_normal_log_prob, to_uint8
from ..images import LARGE
from ..layers.norms import Moments
from ..model import CAFlow, Condition
from ..sampling import SEEDS
from ..tasks import Pixels
from .domain import Statistics, statistics
from .score import Nats
from .tiles import Corner, Tiles, Unheld, plan_tiles

RESAMPLES = 10  # how often a diverged sample is drawn again, at most
_BLOCK = 64  # minimum side, in pixels, of the blocks in which divergence is detected
_MOST = 12  # values per block that may lie near the end of the support: one in 1024
_NATS = 10.0  # largest mean |log-determinant| per value, in nats
_ROWS = 256  # pixels: the height of a block of noise, in large images

Progress: TypeAlias = Callable[[int, int], None]  # called with (done, total) passes of the model


@dataclass
class Steps:
    """Counts passes of the model, each over a batch or over one tile, and reports every one."""

    report: Progress | None = None
    total: int = 0  # expected passes; each resampling adds to it
    done: int = 0

    def step(self) -> None:
        self.done += 1
        if self.report is not None:
            self.report(self.done, self.total)


def to_batch(images: Sequence[Pixels]) -> Tensor:
    """Stack uint8 (H, W, C) arrays of one size into a (B, C, H, W) tensor."""
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)


class Noise:
    """The standard normal latents of one image, in blocks of rows that are kept only while needed.

    Up to 64 megapixels there is one block, drawn from the given generator. Each block of a larger
    image has its own generator, whose seed is drawn from the given one.
    """

    def __init__(self, model: CAFlow, generator: Generator, size: tuple[int, int]) -> None:
        self._model, (self._height, self._width) = model, size
        self._cell = model.config.flow.multiple
        self._rows, self._generators = self._height, [generator]
        if self._height * self._width > LARGE:
            self._rows = math.ceil(_ROWS / self._cell) * self._cell
            count = math.ceil(self._height / self._rows)
            seeds = torch.randint(SEEDS, (count,), generator=generator).tolist()
            self._generators = [Generator().manual_seed(seed) for seed in seeds]
        self._held: dict[int, list[Tensor]] = {}

    def _draw(self, block: int) -> list[Tensor]:
        rows = min(self._rows, self._height - block * self._rows)
        return self._model.latent_noise(self._generators[block], (rows, self._width))

    def cut(self, corner: Corner, shape: tuple[int, int]) -> list[Tensor]:
        """The latents of a tile. Blocks above the tile are freed."""
        (top, left), (rows, columns) = corner, shape
        first, last = top // self._rows, (top + rows - 1) // self._rows
        self._held = {k: block for k, block in self._held.items() if k >= first}
        for k in range(first, last + 1):
            if k not in self._held:
                self._held[k] = self._draw(k)
        own = []
        for parts in zip(*self._held.values(), strict=True):
            s = self._width // parts[0].shape[2]  # side of a latent's cell, in pixels
            whole = torch.cat([z[:, :, left // s : (left + columns) // s] for z in parts], 1)
            start = (top - first * self._rows) // s
            own.append(whole[:, start : start + rows // s])
        return own

    def renew(self, cells: Tensor, top: int) -> None:
        """Replace the latents in the given cells, bool (h, w), from row `top` down, by new ones."""
        left = F.pad(cells, (0, 0, (top - min(self._held) * self._rows) // self._cell, 0))
        for k, block in self._held.items():
            rows = self._rows // self._cell
            own, left = left[:rows], left[rows:]
            for z, fresh in zip(block, self._draw(k), strict=True):
                times = z.shape[2] // own.shape[1]
                where = own.repeat_interleave(times, 0).repeat_interleave(times, 1)
                part, new = z[:, : len(where)], fresh[:, : len(where)]
                torch.where(where, new, part, out=part)


class Conditions:
    """Conditions of one size, under which images are drawn and scored.

    Conditions that fit into memory are one tile, computed once as a batch and kept, at 0.4 kB per
    pixel. Larger ones are computed tile by tile, whenever a tile is drawn or scored, and then
    freed, because all tiles at once would take gigabytes.

    Args:
        model: Any model.
        cond: uint8 (B, C, H, W), or a large image.
        bf16: Draw with networks in bfloat16; scores stay float32.
        tiles: The tiling. Default: planned from the size.
    """

    def __init__(
        self,
        model: CAFlow,
        cond: Tensor | Unheld,
        bf16: bool = False,
        tiles: Tiles | None = None,
    ) -> None:
        self._model, self.cond, self._bf16 = model, cond, bf16
        self.size = (cond.shape[-2], cond.shape[-1])
        self.tiles = tiles or plan_tiles(self.size, model.config.flow.multiple)
        self.kept = None
        if len(self.tiles) == 1:
            assert not isinstance(cond, Unheld)
            self.kept = model.encode_condition(cond)
        self._statistics: dict[tuple[int, Corner], Statistics] = {}
        self._moments: dict[int, Moments] = {}

    @property
    def statistics(self) -> Statistics:
        """`domain.statistics` of each condition, (B, S). For tiles this is the mean over all tiles,
        each of which must have been drawn or scored."""
        if self.kept is not None:
            return statistics(self.kept)
        rows = range(len(self.cond))
        found = [[self._statistics[row, corner][0] for corner in self.tiles] for row in rows]
        return np.asarray(np.mean(found, 1))

    def draw(
        self,
        tau: Tau,
        generators: Sequence[Generator],
        strict: bool = True,
        steps: Steps | None = None,
    ) -> list[tuple[Pixels, int]]:
        """Draw one image from the next latents of each generator.

        Diverged samples are resampled one by one, so the other samples do not change.

        Args:
            tau: Temperature.
            generators: CPU generators, the same number for each condition, grouped by condition.
            strict: Resample diverged samples. If false, every first sample is accepted.
            steps: Counts the passes of the model.

        Returns:
            For each generator, in order: the image, uint8 (H, W, C), and how many samples
            diverged. If these are more than `RESAMPLES`, the image itself diverged.
        """
        steps, each = steps or Steps(), len(generators) // len(self.cond)
        noise = [Noise(self._model, generator, self.size) for generator in generators]
        if self.kept is None:
            return [
                self._draw_alone(place // each, tau, own, strict, steps)
                for place, own in enumerate(noise)
            ]
        latents = [own.cut((0, 0), self.size) for own in noise]
        points, cells = self._decode(self.kept, latents, tau)
        steps.step()
        pixels = to_uint8(points).permute(0, 2, 3, 1).contiguous().cpu()
        found = [(image, 0) for image in pixels.numpy()]
        for place in cells.flatten(1).any(1).nonzero().flatten().tolist() if strict else ():
            steps.total += 1
            found[place] = self._draw_alone(place // each, tau, noise[place], strict, steps)
        return found

    def log_prob(
        self, targets: Tensor | Unheld, noise_samples: int = 1, steps: Steps | None = None
    ) -> list[Nats]:
        """Score images, uint8 (B M, C, H, W), grouped by condition.

        A tiled image gets the sum of `log p(tile | its condition)`, for ranking only: overlaps
        count twice, so the sum is not a log-density and has no deviations over noise draws.
        """
        steps = steps or Steps()
        if self.kept is not None:
            assert not isinstance(targets, Unheld)
            values, deviations = self._model.log_prob_with_deviations(
                targets, self.kept, noise_samples
            )
            steps.step()
            return list(map(Nats, values.tolist(), deviations.cpu().unbind(1)))
        each = len(targets) // len(self.cond)
        sums = [0.0] * len(targets)
        for row in range(len(self.cond)):
            for corner in self.tiles:
                condition = self._condition(row, corner)
                for place in range(row * each, (row + 1) * each):
                    tile = self.tiles.cut(targets, place, corner)
                    sums[place] += float(self._model.log_prob(tile, condition, noise_samples))
                    steps.step()
                del condition  # frees 0.4 kB per pixel before the next tile's is computed
        if isinstance(self.cond, Unheld):
            trim_memory()
        return [Nats(value, None) for value in sums]

    def _condition(self, row: int, corner: Corner) -> Condition:
        """Compute the condition of a tile.

        A guide with normalisation layers uses moments of patches spread over the whole image: with
        the moments of each tile, neighbouring tiles would differ.
        """
        if self.kept is not None and len(self.cond) == 1:
            return self.kept
        reading: AbstractContextManager[None] = nullcontext()
        if len(self.tiles) > 1 and self._model.config.flow.guide_net == "unet":
            if row not in self._moments:
                self._moments[row] = Moments()
                with self._moments[row].of_pass():
                    self._model.encode_condition(self.tiles.places(self.cond, row))
            reading = self._moments[row].of_pass()
        with reading:
            condition = self._model.encode_condition(self.tiles.cut(self.cond, row, corner))
        self._statistics[row, corner] = statistics(condition)
        return condition

    def _decode(
        self, condition: Condition, noise: Sequence[list[Tensor]], tau: Tau
    ) -> tuple[Tensor, Tensor]:
        """Decode noise to points, floats (B, C, H, W), and find `diverged_cells`, on the CPU."""
        latents = self._model.latents(noise, tau)
        points, log_prob = self._model.decode(latents, condition, bf16=self._bf16)
        gaussian = torch.stack([standard_normal_log_prob(z) for z in latents]).sum(0)
        logdet = log_prob - gaussian.to(log_prob)
        return points, diverged_cells(self._model, condition, points, logdet).cpu()

    def _draw_alone(
        self, row: int, tau: Tau, noise: Noise, strict: bool, steps: Steps
    ) -> tuple[Pixels, int]:
        """Draw one image alone, starting with its first latents: batching could change the bits.

        Overlapping tiles share latents and conditions, so they draw the same image except near
        their borders. Each pixel is taken from the nearest tile; a ramp blends neighbouring tiles.
        Within a row of tiles, only cells that diverged get new latents.
        """
        tiles, channels = self.tiles, self._model.config.flow.target_channels
        (height, width), (rows, _) = tiles.size, tiles.shape
        image = np.empty((height, width, channels), np.uint8)
        # Rows that the tiles above have only partly covered: sums of weighted pixels.
        rest = np.zeros((0, width, channels), np.float32)
        band = np.empty((rows, width, channels), np.float32)
        ends, most = (*tiles.tops[1:], height), 0
        for top, vertical, end in zip(tiles.tops, tiles.weights(0), ends, strict=True):
            for redraws in range(RESAMPLES + 1):
                steps.total += len(tiles.lefts) if redraws else 0
                band[: len(rest)], band[len(rest) :] = rest, 0
                away = self._draw_row(band, row, top, vertical, tau, noise, steps)
                most = max(most, redraws)
                if not strict or not away.any():
                    break
                noise.renew(away, top)
            else:
                return image, RESAMPLES + 1
            done = band[: end - top]
            with np.errstate(invalid="ignore"):  # a value that is not finite has diverged
                image[top:end] = np.floor(done, out=done).clip(0, 255, out=done)
            rest = band[end - top :].copy()
            if isinstance(self.cond, Unheld):  # each row of a large image allocates anew
                trim_memory()
        return image, most

    def _draw_row(
        self,
        band: npt.NDArray[np.float32],
        row: int,
        top: int,
        vertical: npt.NDArray[np.float32],
        tau: Tau,
        noise: Noise,
        steps: Steps,
    ) -> Tensor:
        """Add a row of tiles to its band, and return the cells in which they diverged."""
        tiles, cell = self.tiles, self._model.config.flow.multiple
        rows, columns = tiles.shape
        away = torch.zeros(rows // cell, tiles.size[1] // cell, dtype=torch.bool)
        for left, horizontal in zip(tiles.lefts, tiles.weights(1), strict=True):
            latents = noise.cut((top, left), tiles.shape)
            point, cells = self._decode(self._condition(row, (top, left)), [latents], tau)
            away[:, left // cell :][:, : columns // cell] |= cells[0]
            weight = (vertical[:, None] * horizontal)[:, :, None]
            band[:, left : left + columns] += weight * point[0].permute(1, 2, 0).cpu().numpy()
            steps.step()
        return away


def diverged_cells(model: CAFlow, condition: Condition, points: Tensor, logdet: Tensor) -> Tensor:
    """Find where samples diverged, in cells of 2^(n+1) pixels: bool (B, H/2^(n+1), W/2^(n+1)).

        A 64×64 block and the cells next to it diverged if a value in it is not finite,
        or if more than 12 of its values lie near an end of the support.
        All cells diverged if no block did, but |logdet| > 10 nats per value.

    Pixels lie within [0, 256); the support of the density adds a margin on either side. A value
    whose logit h diverged lies at an end of the support, and the logit's own term `log |dh/dv|`,
    which grows as |h|, dominates the log-density. `near_ends` counts values with |h| > 11.8; pixels
    have |h| <= 3.7. The test uses only the sample and its condition, so replays agree.

    `logdet` is `log p(v|y) - Σ log N(z; 0, I)` of each point, nats (B,).
    """
    multiple = model.config.flow.multiple
    cells = math.ceil(_BLOCK / multiple)  # per side of a block
    rows, columns = (side // multiple for side in points.shape[-2:])
    near = model.density.A.near_ends(points, condition.anchor).to(torch.float32)
    counts = near.where(points.isfinite().all(1), _MOST + 1.0)
    side = cells * multiple
    in_blocks = F.avg_pool2d(counts[:, None], side, ceil_mode=True, divisor_override=1)[:, 0]
    away = in_blocks > _MOST
    # Negated, so that NaN counts as diverged.
    off = ~(logdet.abs() <= _NATS * points[0].numel()).to(away.device)
    away |= (off & ~away.flatten(1).any(1))[:, None, None]
    away = away.repeat_interleave(cells, 1).repeat_interleave(cells, 2)[:, :rows, :columns]
    return F.max_pool2d(away[:, None].to(torch.float32), 3, 1, 1)[:, 0] > 0
