"""The latents of a candidate, drawn one set after the other from its own generator."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ..model import CAFlow

__all__ = ["LatentRows", "Latents", "in_cells"]


class Latents:
    """A CPU generator of a seed, and the size of the pictures that are drawn from it.

    Every call takes the next latents: of a draw, of a draw in the place of one that ran away, and
    of the next part of a picture.
    """

    def __init__(self, model: CAFlow, seed: int, size: tuple[int, int]) -> None:
        self._model, self._size = model, size
        self._generator = torch.Generator().manual_seed(seed)

    def __call__(self) -> list[Tensor]:
        """The next latents, standard normal, (C, h, w) each."""
        return self._model.latent_noise(self._generator, self._size)

    @property
    def state(self) -> Tensor:
        """Of the generator: it takes the same latents again when it is set back to it."""
        return self._generator.get_state()

    def set_back(self, state: Tensor) -> None:
        """Go back to a `state`."""
        self._generator.set_state(state)

    def one_by_one(self) -> Iterator[Tensor]:
        """The next latents, each drawn when it is asked for. All of them must be."""
        for shape in self._model.latent_shapes(self._size):
            yield torch.randn(shape, generator=self._generator)


class LatentRows:
    """The next latents of a large picture, of which a few rows at a time are held.

    All of them would take 12 bytes a pixel. So they are drawn again from the generator for every
    band of rows, one latent after the other.

    Args:
        latents: The generator. It stands behind what was taken from it whenever rows are.
        height: Of the picture, in pixels.
    """

    def __init__(self, latents: Latents, height: int) -> None:
        self._latents, self._height, self._start = latents, height, latents.state
        self._exchanged: list[Tensor] = []

    def exchange(self, cells: Tensor) -> None:
        """Let the generator's next latents count in those cells of the picture, bool (rows,
        columns)."""
        self._exchanged.append(cells)

    def rows(self, first: int, last: int) -> list[Tensor]:
        """The latents of some rows of pixels, (C, h', w) each."""
        self._latents.set_back(self._start)
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


def in_cells(cells: Tensor, width: int) -> Tensor:
    """Cells of a picture at the width of a latent: bool (rows, columns) to (h, width)."""
    times = width // cells.shape[-1]
    return cells.repeat_interleave(times, 0).repeat_interleave(times, 1)
