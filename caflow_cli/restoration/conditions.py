"""What drawing in one pass and in tiles have in common: a protocol, a pass, and its divergence."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from ..config import Temperature
from ..errors import CaflowError
from ..flows import standard_normal_log_prob
from ..images import Pixels
from ..model import CAFlow, Condition
from ..tasks.tiles import LazyImage
from .domain import Statistics

RESAMPLES = 10  # how often a diverged sample is drawn again, at most
_BLOCK = 64  # minimum side, in pixels, of the blocks in which divergence is detected
_MOST_AT_ENDS = 24  # values per block that may lie near the end of the support: one in 512
_MOST_NATS = 10.0  # largest mean |log-determinant| per value, in nats

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


class PartScore(NamedTuple):
    """The log-likelihood of one part, and its deviations over the K noise draws."""

    value: float
    deviations: Tensor | None  # (K,), see `CAFlow.estimate`; None in tiles


class Diverged(CaflowError):
    """All draws of a window diverged, and there is nothing to write in their place."""


Window: TypeAlias = tuple[int, int, int, int]  # left, top, width and height, in pixels


class Sample(NamedTuple):
    """An image as the model drew it, uint8 (H, W, C)."""

    image: Pixels
    redraws: int  # how often windows of it were drawn again
    predicted: Sequence[Window] = ()  # those of which every draw diverged: the guide's prediction


class Divergence(NamedTuple):
    """How often windows diverged: parts, tiles or whole images, over any number of candidates."""

    windows: int = 0  # that were drawn
    redraws: int = 0  # how often one was drawn again
    predicted: int = 0  # how many are the guide's prediction, because every draw diverged

    @classmethod
    def sum(cls, counts: Iterable[Sequence[int]]) -> "Divergence":
        """The sum of several."""
        return cls(*map(sum, zip(*counts, strict=True)))

    def as_json(self) -> dict[str, float]:
        """The counts, and the redraws for each 1,000 windows."""
        return {**self._asdict(), "redraws_per_1000": 1000 * self.redraws / max(1, self.windows)}

    @property
    def summary(self) -> str:
        """A text such as `3 redraws in 960 windows (3.12 per 1,000), 0 of them the guide's ...`."""
        return (
            f"{self.redraws:,} redraws in {self.windows:,} windows "
            f"({self.as_json()['redraws_per_1000']:.3g} per 1,000), {self.predicted:,} of them the "
            "guide's prediction"
        )


class Conditions(Protocol):
    """Conditions of one size, under which images are drawn and scored."""

    @property
    def steps(self) -> Steps:
        """Counts the passes of the model."""

    @property
    def cond(self) -> Tensor | LazyImage:
        """The conditions, uint8 (B, C, H, W)."""

    @property
    def passes(self) -> int:
        """The number of tiles; 1 if images are drawn in one pass of the model."""

    @property
    def statistics(self) -> Statistics:
        """`domain.statistics` of each condition, (B, S)."""

    def draw(
        self,
        tau: Temperature,
        generators: Sequence[Generator],
        again: Sequence[Generator] | None = None,
    ) -> list[Sample]:
        """Draw one image from the next latents of each generator.

        Diverged samples are resampled one by one, so the other samples do not change. What diverges
        in all draws is the guide's prediction.

        Args:
            tau: Temperature.
            generators: CPU generators, the same number for each condition, grouped by condition.
            again: Those of resamples of images drawn in one pass. Default: the same.

        Raises:
            CaflowError: All draws diverged, and the model has no guide.
        """

    def predicted(self, row: int, tau: Temperature) -> Sample:
        """The guide's prediction for one of the conditions, in place of samples at tau.

        Raises:
            CaflowError: The model has no guide.
        """

    def log_prob(
        self,
        targets: Tensor | LazyImage,
        draws: int = 1,
    ) -> list[PartScore]:
        """Score images, uint8 (B M, C, H, W), grouped by condition, by so many draws of noise."""


def to_batch(images: Sequence[Pixels]) -> Tensor:
    """Stack uint8 (H, W, C) arrays of one size into a (B, C, H, W) tensor."""
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)


def decode(
    model: CAFlow, condition: Condition, noise: Sequence[list[Tensor]], tau: Temperature, bf16: bool
) -> tuple[Tensor, Tensor]:
    """Decode noise to points, floats (B, C, H, W), and find `diverged_cells`, on the CPU."""
    latents = model.latents(noise, tau.of_latents(model.config.flow.latent_scales))
    points, log_prob = model.decode(latents, condition, bf16=bf16)
    gaussian = torch.stack([standard_normal_log_prob(z) for z in latents]).sum(0)
    logdet = log_prob - gaussian.to(log_prob)
    return points, diverged_cells(model, condition, points, logdet).cpu()


def resamples(tau: Temperature) -> int:
    """How often a diverged sample is drawn again, at most; at tau 0 there is no other sample."""
    return RESAMPLES if any(tau.values) else 0


def predict(model: CAFlow, condition: Condition, tau: Temperature) -> Tensor:
    """What stands for samples at tau of which all diverged: the guide's prediction, as points."""
    anchor = model.density.A
    points: Tensor = anchor.predict(condition.anchor)
    if anchor.guide is None or not points.isfinite().all():
        raise Diverged(
            f"all samples diverged at tau {tau}, and no guide predicts the image",
            "an image more like the training data, or another --model",
        )
    return points


def diverged_cells(
    model: CAFlow,
    condition: Condition,
    points: Tensor,
    logdet: Tensor,
) -> Tensor:
    """Find where samples diverged, in cells of 2^(n+1) pixels: bool (B, H/2^(n+1), W/2^(n+1)).

        A 64×64 block and the cells next to it diverged if a value in it is not finite,
        or if more than 24 of its values lie near an end of the support, and more than 32 levels
        outside the range of the guide's prediction within two pixels.
        All cells diverged if no block did, but |logdet| > 10 nats per value.

    Pixels lie within [0, 256); the support of the density adds a margin on either side. A value
    whose logit h diverged lies at an end of the support, and the logit's own term `log |dh/dv|`,
    which grows as |h|, dominates the log-density. `near_ends` counts values with |h| > 11.8; pixels
    have |h| <= 3.7. At saturated colors, such as of text, some values of good samples lie there,
    too, but the prediction is then as saturated nearby. The test uses only the sample and its
    condition, so replays agree.

    `logdet` is `log p(v|y) - Σ log N(z; 0, I)` of each point, nats (B,).
    """
    multiple = model.config.flow.multiple
    cells = math.ceil(_BLOCK / multiple)  # per side of a block
    side = cells * multiple
    rows = points.shape[-2] // multiple
    columns = points.shape[-1] // multiple
    near = model.density.A.near_ends(points, condition.anchor).to(torch.float32)
    counts = near.where(points.isfinite().all(1), _MOST_AT_ENDS + 1.0)
    in_blocks = F.avg_pool2d(counts[:, None], side, ceil_mode=True, divisor_override=1)
    diverged = in_blocks[:, 0] > _MOST_AT_ENDS
    most_nats = _MOST_NATS * points[0].numel()
    likely = (logdet.abs() <= most_nats).to(diverged.device)  # not for NaN
    everywhere = ~likely & ~diverged.flatten(1).any(1)
    diverged |= everywhere[:, None, None]
    diverged = diverged.repeat_interleave(cells, 1).repeat_interleave(cells, 2)
    diverged = diverged[:, :rows, :columns].to(torch.float32)
    with_neighbors = F.max_pool2d(diverged[:, None], 3, 1, 1)
    return with_neighbors[:, 0] > 0


def renew(
    latents: Sequence[Tensor],
    fresh: Sequence[Tensor],
    cells: Tensor,
) -> None:
    """Replace latents, (C, H, W) each, by fresh ones in the given cells: bool (h, w), from the top.

    Rows below the last of the cells are kept.
    """
    for z, new in zip(latents, fresh, strict=True):
        times = z.shape[2] // cells.shape[1]
        where = cells.repeat_interleave(times, 0).repeat_interleave(times, 1)
        part = z[:, : len(where)]
        torch.where(where, new[:, : len(where)], part, out=part)
