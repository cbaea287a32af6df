"""Draw and score an image too large for one pass of the model: tile by tile, row by row."""

import math
import time
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from ..config import Extent, Temperature
from ..devices import trim_memory
from ..images import LARGE
from ..layers import WIDTHS
from ..layers.norms import Moments
from ..model import CAFlow, Condition
from ..sampling import SEEDS
from ..tasks.tiles import Corner, LazyImage, Tiles
from .conditions import PartScore, Sample, Steps, Window, decode, predict, renew, resamples
from .domain import Statistics, statistics
from .rows import Rows

_ROWS = 256  # pixels: the height of a block of noise, in large images


class Noise:
    """The standard normal latents of one image, in blocks of rows that are kept only while needed.

    Up to 64 megapixels there is one block, drawn from the given generator. Each block of a larger
    image has its own generator, whose seed is drawn from the given one.
    """

    def __init__(
        self,
        model: CAFlow,
        generator: Generator,
        size: Extent,
    ) -> None:
        self._model = model
        self._height, self._width = size
        self._cell = model.config.flow.multiple
        self._rows = self._height  # of a block, in pixels
        self._generators = [generator]
        if self._height * self._width > LARGE:
            self._rows = math.ceil(_ROWS / self._cell) * self._cell
            count = math.ceil(self._height / self._rows)
            seeds = torch.randint(SEEDS, (count,), generator=generator).tolist()
            self._generators = [Generator().manual_seed(seed) for seed in seeds]
        self._blocks: dict[int, list[Tensor]] = {}

    def _draw(self, block: int) -> list[Tensor]:
        rows = min(self._rows, self._height - block * self._rows)
        return self._model.latent_noise(self._generators[block], (rows, self._width))

    def cut(self, corner: Corner, shape: Extent) -> list[Tensor]:
        """The latents of a tile. Blocks above the tile are freed."""
        top, left = corner
        rows, columns = shape
        first = top // self._rows
        last = (top + rows - 1) // self._rows
        for k in [k for k in self._blocks if k < first]:
            del self._blocks[k]
        for k in range(first, last + 1):
            if k not in self._blocks:
                self._blocks[k] = self._draw(k)
        tile = []
        for parts in zip(*self._blocks.values(), strict=True):
            side = self._width // parts[0].shape[2]  # of a latent's cell, in pixels
            across = slice(left // side, (left + columns) // side)
            start = (top - first * self._rows) // side
            down = slice(start, start + rows // side)
            joined = torch.cat([z[:, :, across] for z in parts], 1)
            tile.append(joined[:, down])
        return tile

    def renew(self, cells: Tensor, top: int) -> None:
        """Replace the latents in the given cells, bool (h, w), from row `top` down, by new ones."""
        above = top - min(self._blocks) * self._rows
        cells = F.pad(cells, (0, 0, above // self._cell, 0))
        rows = self._rows // self._cell
        for k, block in self._blocks.items():
            renew(block, self._draw(k), cells[:rows])
            cells = cells[rows:]


class Tiled:
    """`Conditions` that are too large for one pass of the model.

    They are computed tile by tile, whenever a tile is drawn or scored, and then freed, because all
    tiles at once would take gigabytes.

    Args:
        model: Any model.
        cond: uint8 (1, C, H, W), or a large image.
        tiles: The tiling.
        bf16: Draw with networks in bfloat16; scores stay float32.
        steps: Counts the passes of the model.
        rows: Makes what resizes the rows of an image as they are drawn. None: they are held.
    """

    def __init__(
        self,
        model: CAFlow,
        cond: Tensor | LazyImage,
        tiles: Tiles,
        bf16: bool = False,
        steps: Steps | None = None,
        rows: Callable[[], Rows | None] = lambda: None,
    ) -> None:
        assert len(cond) == 1, "images in tiles do not share a batch"
        self._model = model
        self._bf16 = bf16
        self._rows = rows
        self.steps = steps or Steps()
        self.cond = cond
        self.tiles = tiles
        self.passes = len(tiles)
        margin = model.config.flow.guide_margin
        self._around = margin if margin > tiles.margin else 0
        self._statistics: dict[Corner, Statistics] = {}
        self._moments: Moments | None = None

    @property
    def statistics(self) -> Statistics:
        """The mean of `domain.statistics` over all tiles, which must have been drawn or scored."""
        values = [self._statistics[corner] for corner in self.tiles]
        return np.asarray(np.mean([values], 1))

    def draw(
        self,
        tau: Temperature,
        generators: Sequence[Generator],
        again: Sequence[Generator] | None = None,
    ) -> list[Sample]:
        size = self.tiles.size
        samples = [self._draw_image(tau, Noise(self._model, each, size)) for each in generators]
        self._trim_memory()  # of noise and rows: encoding takes as much
        return samples

    def predicted(self, row: int, tau: Temperature) -> Sample:
        return self._draw_image(tau, None)

    def log_prob(
        self,
        targets: Tensor | LazyImage,
        draws: int = 1,
    ) -> list[PartScore]:
        """The sum of `log p(tile | its condition)`, for ranking only.

        Overlaps count twice, so it is not a log-density and has no deviations over noise draws.
        """
        sums = [0.0] * len(targets)
        for corner in self.tiles:
            condition = self._condition(corner)
            for index in range(len(targets)):
                tile = self.tiles.cut(targets, corner, index)
                sums[index] += float(self._model.log_prob(tile, condition, draws))
                self.steps.step()
            del condition  # frees 0.4 kB per pixel before the next tile's is computed
        self._trim_memory()
        return [PartScore(value, None) for value in sums]

    def seconds(self, tau: Temperature) -> float:
        """How long drawing one image takes, by its first tile, which is drawn twice: the first time
        takes longer."""
        for _ in range(2):
            start = time.perf_counter()
            noise = self._model.latent_noise(Generator(), self.tiles.shape)
            decode(self._model, self._condition((0, 0)), [noise], tau, self._bf16)
        return (time.perf_counter() - start) * self.passes

    def _condition(self, corner: Corner) -> Condition:
        """Compute the condition of a tile.

        What the model normalizes over an image, it normalizes over patches spread over the whole
        image: with the moments of each tile, neighboring tiles would differ. A guide that reads
        further than a tile's margin reads the tile's surroundings.
        """
        model = self._model
        if model.normalizes and self._moments is None:
            self._moments = model.moments(self.tiles.patches(self.cond))
        expected = None
        if self._around:
            window, (rows, columns) = self.tiles.around(self.cond, corner, self._around)
            expected = model.expect(window)[:, :, rows, columns]
        tile = self.tiles.cut(self.cond, corner)
        condition = model.encode_condition(tile, self._moments, expected)
        self._statistics[corner] = statistics(condition)[0]
        return condition

    def _draw_image(self, tau: Temperature, noise: Noise | None) -> Sample:
        """Draw one image; without noise, the guide's prediction.

        Overlapping tiles share latents and conditions, so they draw the same image except near
        their borders. Each pixel is taken from the nearest tile; a ramp blends neighboring tiles.
        """
        tiles = self.tiles
        height, width = tiles.size
        channels = self._model.config.flow.target_channels
        bins = WIDTHS[self.cond.dtype]
        kind = np.uint8 if bins == 1 else np.uint16
        rows = self._rows()
        image = np.empty((height, width, channels), kind) if rows is None else rows.result
        # Sums of weighted pixels: of a row of tiles, and of what the row above left unfinished.
        band = np.empty((tiles.shape[0], width, channels), np.float32)
        begun = band[:0]
        redraws = 0
        predicted: list[Window] = []
        ends = (*tiles.tops[1:], height)
        for top, vertical, end in zip(tiles.tops, tiles.weights(0), ends, strict=True):
            again, lefts = self._draw_row(band, begun, top, vertical, tau, noise)
            redraws += again
            predicted += [(left, top, *tiles.shape[::-1]) for left in lefts]
            done = band[: end - top]
            np.divide(done, bins, out=done)
            np.floor(done, out=done)
            done.clip(0, 256 / bins - 1, out=done)
            if rows is None:
                image[top:end] = done
            else:
                rows.add(done.astype(kind))
            begun = band[end - top :].copy()
            self._trim_memory()
        return Sample(image, redraws, predicted)

    def _draw_row(
        self,
        band: npt.NDArray[np.float32],
        begun: npt.NDArray[np.float32],
        top: int,
        vertical: npt.NDArray[np.float32],
        tau: Temperature,
        noise: Noise | None,
    ) -> tuple[int, list[int]]:
        """Draw a row of tiles into its band, which starts with what is begun; again, with new
        latents in cells that diverged, while any did.

        Returns how often its tiles diverged before, and where those start that are predicted.
        """
        redraws = 0
        left = resamples(tau) if noise is not None else 0
        while True:
            band[: len(begun)] = begun
            band[len(begun) :] = 0
            cells, lefts = self._add_row(band, top, vertical, tau, noise, left == 0)
            if noise is None or not lefts or left == 0:
                return redraws, lefts
            noise.renew(cells, top)
            redraws += len(lefts)
            left -= 1
            self.steps.total += len(self.tiles.lefts)

    def _add_row(
        self,
        band: npt.NDArray[np.float32],
        top: int,
        vertical: npt.NDArray[np.float32],
        tau: Temperature,
        noise: Noise | None,
        is_last: bool,
    ) -> tuple[Tensor, list[int]]:
        """Add a row of tiles to its band; return the cells in which they diverged, and where the
        tiles that did start. The last time, they are predicted.
        """
        tiles = self.tiles
        rows, columns = tiles.shape
        cell = self._model.config.flow.multiple
        _, width = tiles.size
        diverged = torch.zeros(rows // cell, width // cell, dtype=torch.bool)
        lefts = []
        for left, horizontal in zip(tiles.lefts, tiles.weights(1), strict=True):
            corner = (top, left)
            condition = self._condition(corner)
            cells = None
            if noise is not None:
                latents = noise.cut(corner, tiles.shape)
                points, [cells] = decode(self._model, condition, [latents], tau, self._bf16)
                diverged[:, left // cell : (left + columns) // cell] |= cells
            if cells is None or cells.any():
                lefts.append(left)
                if is_last:
                    points = predict(self._model, condition, tau)
            self.steps.step()
            pixels = points[0].permute(1, 2, 0).cpu().numpy()
            weight = vertical[:, None] * horizontal
            band[:, left : left + columns] += weight[:, :, None] * pixels
        return diverged, lefts

    def _trim_memory(self) -> None:
        if isinstance(self.cond, LazyImage):  # each row of a large image allocates anew
            trim_memory()
