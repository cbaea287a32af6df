"""Samples under a condition in one piece: latents, divergence, resampling."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..flows import standard_normal_log_prob, to_uint8
from ..model import CAFlow, Condition
from ..tasks import Pixels
from ..temperature import Tau, Temperature
from .domain import Statistics, statistics

__all__ = [
    "RESAMPLES",
    "Latents",
    "OnePiece",
    "Progress",
    "Steps",
    "decode_noise",
    "in_cells",
    "resampled",
]

RESAMPLES = 10  # of a sample that diverged, at most
_BLOCK = 64  # pixels: the side of what is judged together, at least
_MOST = 12  # values of a block that may lie near an end: one in 1024
_NATS = 10.0  # a value: of the log-determinants, on average


@dataclass
class Steps:
    """Counts passes of the model: each draws, or scores, a part of a batch or one of its tiles.

    Examples:
        >>> from caflow_cli.inference.draw import Steps
        >>> steps = Steps(total=40, candidates=(5, 8, 40), part=(2, 5))
        >>> steps.step("scored")
        >>> str(steps), steps.done
        ('candidates 5-8 of 40, window 2 of 5 scored', 1)
    """

    report: Progress | None = None  # is given this record after each pass
    done: int = 0
    total: int = 0  # as far as is known: what is resampled is added
    what: str = ""  # the last pass: "drawn" or "scored"
    candidates: tuple[int, int, int] = (1, 1, 1)  # first and last of the batch, from 1, and M
    part: tuple[int, int] = (1, 1)  # the window onto a hole, from 1, and how many there are
    tile: tuple[int, int] = (1, 1)  # likewise

    def step(self, what: str, tile: tuple[int, int] = (1, 1)) -> None:
        """Count a pass: "drawn" or "scored"."""
        self.done, self.what, self.tile = self.done + 1, what, tile
        if self.report is not None:
            self.report(self)

    def __str__(self) -> str:
        first, last, m = self.candidates
        batch = f"candidate {first}" if first == last else f"candidates {first}-{last}"
        places = [f"{batch} of {m}"] if m > 1 else []
        for name, (number, count) in (("window", self.part), ("tile", self.tile)):
            if count > 1:
                places.append(f"{name} {number} of {count}")
        return f"{', '.join(places)} {self.what}".strip()


Progress = Callable[[Steps], None]


class Latents:
    """A CPU generator of a seed, and the size of the images that are drawn from it.

    Every call takes the next latents: of a sample, of one in place of a sample that diverged, and
    of the next part of an image.
    """

    def __init__(self, model: CAFlow, seed: int, size: tuple[int, int]) -> None:
        self._model, self._size = model, size
        self.generator = torch.Generator().manual_seed(seed)

    def __call__(self) -> list[Tensor]:
        """The next latents, standard normal, (C, h, w) each."""
        return list(self.one_by_one())

    def one_by_one(self) -> Iterator[Tensor]:
        """The next latents, each drawn when it is asked for. All of them must be."""
        for shape in self._model.latent_shapes(self._size):
            yield torch.randn(shape, generator=self.generator)


def in_cells(cells: Tensor, width: int) -> Tensor:
    """Cells of an image at the width of a latent: bool (rows, columns) to (h, width)."""
    times = width // cells.shape[-1]
    return cells.repeat_interleave(times, 0).repeat_interleave(times, 1)


def diverged_cells(model: CAFlow, condition: Condition, points: Tensor, logdet: Tensor) -> Tensor:
    """Where samples diverged: cells of 2^(n+1) pixels, bool (B, H / 2^(n+1), W / 2^(n+1)).

        a block of 64×64 diverged, and the cells around it, if a value is not finite,
        or more than 12 values are near an end of what has a density
        all did, if no block did and |log-determinants| > 10 nats a value

    Pixels lie within [0, 256), and what has a density goes on for a margin on either side. A value
    whose logit h diverged lies at its end, and the logit's own term `log |dh/dv|`, which grows as
    |h|, decides the log-density. `near_ends` counts values with |h| > 11.8, where pixels have 3.7
    at most. Each sample is judged alone, by the condition and itself, so replays agree.

    Args:
        model: Whose samples they are.
        condition: Of one entry for M neighbouring samples each.
        points: Floats on the 8-bit scale (B, C, H, W).
        logdet: `log p(v|y) - Σ log N(z; 0, I)` of each, nats (B,).
    """
    multiple = model.config.flow.multiple
    cells = math.ceil(_BLOCK / multiple)  # of a block's side
    rows, columns = (side // multiple for side in points.shape[-2:])
    near = model.density.A.near_ends(points, condition.anchor)
    lost = ~points.isfinite().all(1)
    counts = torch.where(lost, _MOST + 1.0, near.to(torch.float32))
    side = cells * multiple
    in_blocks = F.avg_pool2d(counts[:, None], side, ceil_mode=True, divisor_override=1)[:, 0]
    away = in_blocks > _MOST
    # Written so that NaN diverges.
    off = ~(logdet.abs() <= _NATS * points[0].numel()).to(away.device)
    away |= (off & ~away.flatten(1).any(1))[:, None, None]
    away = away.repeat_interleave(cells, 1).repeat_interleave(cells, 2)[:, :rows, :columns]
    return F.max_pool2d(away[:, None].to(torch.float32), 3, 1, 1)[:, 0] > 0


def decode_noise(
    model: CAFlow, condition: Condition, latents: Sequence[Tensor], bf16: bool = False
) -> tuple[Tensor, Tensor]:
    """The points of latents, floats (B, C, H, W), and their `diverged_cells`."""
    points, log_prob = model.decode(latents, condition, bf16=bf16)
    gaussian = torch.stack([standard_normal_log_prob(z) for z in latents]).sum(0)
    return points, diverged_cells(model, condition, points, log_prob - gaussian.to(log_prob))


def resampled(
    draw: Callable[[Tensor | None], tuple[Pixels, Tensor]], exchange: Callable[[Tensor], None]
) -> tuple[Pixels, int]:
    """Draw, and where the sample diverged resample it from the generator's next latents.

    Args:
        draw: The image, and its `diverged_cells`, (rows, columns). It is given the cells in which
            latents have changed since its last call; None: it is the first.
        exchange: Puts the generator's next latents into those cells.

    Returns:
        The last image, and how many samples diverged: above `RESAMPLES`, this one did, too.
    """
    changed: Tensor | None = None
    for redraws in range(RESAMPLES + 1):
        image, cells = draw(changed)
        if not bool(cells.any()):
            return image, redraws
        if redraws < RESAMPLES:
            changed = cells.cpu()
            exchange(changed)
    return image, RESAMPLES + 1


class OnePiece:
    """Conditions that are computed once, as one batch, and kept: 0.4 kilobytes a pixel.

    Args:
        model: Any model.
        cond: uint8 (B, C, H, W).
        bf16: Draw with networks in bfloat16; scores stay float32.
    """

    def __init__(self, model: CAFlow, cond: Tensor, bf16: bool = False) -> None:
        self._model, self._cond, self._bf16 = model, cond, bf16
        self.condition = model.encode_condition(cond)
        self.size = self.condition.size  # height and width
        self.tiles = 1

    @property
    def statistics(self) -> Statistics:
        """`domain.statistics` of each condition, (B, S)."""
        return statistics(self.condition)

    def draw(
        self,
        tau: Tau,
        latents: Sequence[Latents],
        strict: bool = True,
        steps: Steps | None = None,
    ) -> list[tuple[Pixels, int]]:
        """Draw one image from the next latents of each.

        What diverged is resampled alone, so other samples stay as they are.

        Args:
            tau: Temperature.
            latents: Equally many for each condition, as neighbours.
            strict: Resample what diverged; else take every first sample.
            steps: Counts.

        Returns:
            In the order of the latents: the image, uint8 (H, W, C), and how many samples diverged;
            above `RESAMPLES`, the image did, too.
        """
        noise = [of_one() for of_one in latents]
        points, cells = decode_noise(
            self._model, self.condition, self._latents(tau, noise), self._bf16
        )
        found = [(image, 0) for image in _to_images(points)]
        if strict:
            each = len(latents) // self.condition.batch
            for place in cells.flatten(1).any(1).cpu().nonzero().flatten().tolist():
                found[place] = self._draw_alone(place // each, tau, noise[place], latents[place])
        if steps is not None:
            steps.step("drawn")
        return found

    def _draw_alone(
        self, row: int, tau: Tau, first: list[Tensor], fresh: Latents
    ) -> tuple[Pixels, int]:
        """Draw again a sample that diverged among others, by itself: batches change the bits."""
        condition = self.condition
        if condition.batch > 1:
            condition = self._model.encode_condition(self._cond[row, None])

        def draw(_: Tensor | None) -> tuple[Pixels, Tensor]:
            latents = self._latents(tau, [first])
            points, cells = decode_noise(self._model, condition, latents, self._bf16)
            return _to_images(points)[0], cells[0]

        def exchange(cells: Tensor) -> None:
            for z, other in zip(first, fresh.one_by_one(), strict=True):
                torch.where(in_cells(cells, z.shape[-1]), other, z, out=z)

        return resampled(draw, exchange)

    def _latents(self, tau: Tau, noise: Sequence[list[Tensor]]) -> list[Tensor]:
        """The latents of that noise, as one batch."""
        device, dtype = self._model.device, self._model.dtype
        taus = Temperature.of(tau).of_latents(self._model.config.flow.latent_scales)
        stacked = (torch.stack(z).to(device, dtype) for z in zip(*noise, strict=True))
        return [own * z for own, z in zip(taus, stacked, strict=True)]

    def log_prob(
        self, targets: Tensor, noise_samples: int, steps: Steps | None = None
    ) -> tuple[list[float], Tensor]:
        """Score images, uint8 (B or B M, C, H, W): nats, and what each of the K noise draws says,
        (K, B)."""
        value, deviations = self._model.log_prob_with_deviations(
            targets, self.condition, noise_samples
        )
        if steps is not None:
            steps.step("scored")
        return value.tolist(), deviations.cpu()


def _to_images(points: Tensor) -> list[Pixels]:
    """Round floats (B, C, H, W) on the 8-bit scale to images."""
    return list(to_uint8(points).permute(0, 2, 3, 1).contiguous().cpu().numpy())
