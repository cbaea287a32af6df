"""Draw and score images of one size, each in one pass of the model."""

from collections.abc import Sequence
from typing import Any

import numpy.typing as npt
import torch
from torch import Generator, Tensor

from ..config import Temperature
from ..flows import Levels, ValueScale
from ..model import CAFlow, Condition
from ..tasks.tiles import LazyImage
from .conditions import PartScore, Sample, Steps, decode, predict, renew, resamples
from .domain import Statistics, statistics


class Whole:
    """`Conditions` that fit into memory: computed once as a batch, and kept, at 0.4 kB per pixel.

    Args:
        model: Any model.
        cond: uint8 or uint16 (B, C, H, W), or floats for fields.
        bf16: Draw with networks in bfloat16; scores stay float32.
        steps: Counts the passes of the model.
        scale: Of the values that are drawn and scored. Default: `Levels` of 8 bits.
    """

    passes = 1

    def __init__(
        self,
        model: CAFlow,
        cond: Tensor,
        bf16: bool = False,
        steps: Steps | None = None,
        scale: ValueScale | None = None,
    ) -> None:
        self._model = model
        self._bf16 = bf16
        self.steps = steps or Steps()
        self.cond = cond
        self.encoded = model.encode_condition(cond)
        self._scale = scale or Levels(self.encoded.width)

    @property
    def statistics(self) -> Statistics:
        return statistics(self.encoded)

    def draw(
        self,
        tau: Temperature,
        generators: Sequence[Generator],
        again: Sequence[Generator] | None = None,
    ) -> list[Sample]:
        noise = [self._model.latent_noise(each, self.encoded.size) for each in generators]
        points, cells = decode(self._model, self.encoded, noise, tau, self._bf16)
        self.steps.step()
        samples = [Sample(image, 0) for image in self._images(points)]
        per_condition = len(generators) // len(self.cond)
        for index in cells.flatten(1).any(1).nonzero().flatten().tolist():
            row = index // per_condition
            samples[index] = self._redraw(row, tau, (again or generators)[index], noise[index])
        return samples

    def predicted(self, row: int, tau: Temperature) -> Sample:
        points = predict(self._model, self._of_row(row), tau)
        height, width = self.encoded.size
        return Sample(self._images(points)[0], 0, [(0, 0, width, height)])

    def log_prob(
        self,
        targets: Tensor | LazyImage,
        draws: int = 1,
    ) -> list[PartScore]:
        assert isinstance(targets, Tensor)
        terms = self._model.log_prob_samples(targets, self.encoded, draws, self._scale)
        values, deviations = self._model.estimate(terms)
        self.steps.step()
        return list(map(PartScore, values.tolist(), deviations.cpu().unbind(1)))

    def _redraw(
        self,
        row: int,
        tau: Temperature,
        generator: Generator,
        latents: list[Tensor],
    ) -> Sample:
        """Draw one image alone, starting with its first latents: batching could change the bits.

        Only cells that diverged get new latents.
        """
        condition = self._of_row(row)
        redraws = resamples(tau)
        for k in range(redraws + 1):
            self.steps.total += 1
            points, cells = decode(self._model, condition, [latents], tau, self._bf16)
            self.steps.step()
            if not cells.any():
                return Sample(self._images(points)[0], k)
            renew(latents, self._model.latent_noise(generator, condition.size), cells[0])
        return self.predicted(row, tau)._replace(redraws=redraws)

    def _of_row(self, row: int) -> Condition:
        if len(self.cond) == 1:
            return self.encoded
        return self._model.encode_condition(self.cond[row, None])

    def _images(self, points: Tensor) -> npt.NDArray[Any]:
        """Points (B, C, H, W) as stored values, (B, H, W, C)."""
        values = torch.as_tensor(self._scale.values(points))
        return values.permute(0, 2, 3, 1).contiguous().cpu().numpy()
