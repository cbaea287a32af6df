"""The latents of a candidate, drawn one set after the other from its own generator."""

from __future__ import annotations

import torch
from torch import Tensor

from ..model import CAFlow

__all__ = ["Latents"]


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
