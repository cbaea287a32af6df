"""The time and memory that a large picture will take, before the work begins.

    seconds = rate · pixels of the model · passes + composing and writing · pixels of the picture
    bytes   = program + piece + whole picture at the model's scale + picture as it is read

`docs/speed.md` has where the constants come from.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

from ..config import Config
from ..devices import wait
from ..model import CAFlow
from ..sampling import Sampling
from .choice import OWN_DRAWS
from .score import BATCH_PIXELS
from .tiling import check_size, plan_tiles

__all__ = ["ONE_CORE", "Estimate", "estimate", "measured_rate"]

# Seconds a megapixel that the model draws and scores, of the bundled models on one core.
ONE_CORE = 8.0
# Seconds a megapixel of the picture as it is read: for each candidate, and for what is written.
_COMPOSING = {"colorize": 0.3}
_WRITING = 0.4
_PROGRAM = 0.4e9  # bytes
_PIECE = 1000  # bytes a pixel of what the model draws at a time
_WHOLE = 15  # bytes a pixel of what it draws in tiles
_CANDIDATE = 3  # bytes a pixel of each candidate
# Bytes a pixel of the picture as it is read.
_READ = {"colorize": 30}
_READ_ELSE = 12
_TIMED = 2**16  # pixels: of a short timing


@dataclass(frozen=True)
class Estimate:
    """The work on one picture, and about how long and how much memory it takes."""

    drawn: tuple[int, int]  # width and height of what the model draws; of one window
    tiles: int
    windows: int  # onto a hole
    candidates: int
    pixels: float  # that the model draws and scores, in all
    apart: float  # seconds, of all that is not the model
    memory: float  # bytes

    def seconds(self, rate: float = ONE_CORE) -> float:
        """About how long it takes, where a megapixel takes the model `rate` seconds."""
        return rate * self.pixels / 1e6 + self.apart


def estimate(
    config: Config, image: tuple[int, int], size: tuple[int, int], windows: int, sampling: Sampling
) -> Estimate:
    """Estimate the work on a picture.

    Args:
        config: Of the model.
        image: Height and width of the picture as it is read.
        size: Height and width of what the model draws (`Task.model_size`).
        windows: How many parts are drawn for each candidate.
        sampling: With M filled in.

    Raises:
        CaflowError: The model would draw too many pixels.
    """
    check_size(size)
    m = sampling.candidates
    assert m is not None, "Sampling.of fills it in"
    tiles = plan_tiles(size, config.flow.multiple)
    drawn, read = (height * width for height, width in (size, image))
    piece = tiles.shape[0] * tiles.shape[1]
    # A step of refinement is as long as four draws; a draw is as long as a score.
    passes = (1 + 4 * sampling.refine + sampling.noise_samples) / 2
    passes *= m + (OWN_DRAWS if sampling.rank == "typical" else 0)
    at_a_time = sampling.batch_size or max(1, BATCH_PIXELS // drawn)
    task = config.task.name
    written = drawn if len(tiles) > 1 else max(drawn, read)
    return Estimate(
        drawn=(size[1], size[0]),
        tiles=len(tiles),
        windows=windows,
        candidates=m,
        pixels=passes * windows * len(tiles) * piece,
        apart=(_COMPOSING.get(task, 0.0) * m * read + _WRITING * sampling.keep * written) / 1e6,
        memory=_PROGRAM
        + _PIECE * piece * (1 if len(tiles) > 1 else min(m, at_a_time))
        + (_WHOLE * drawn if len(tiles) > 1 else 0)
        + _CANDIDATE * (m * drawn * windows + min(m, at_a_time) * read)
        + _READ.get(task, _READ_ELSE) * read,
    )


def measured_rate(model: CAFlow, work: Estimate) -> float:
    """Seconds a megapixel that a model takes here, by timing 2^16 pixels: once, after a first
    time that makes what later ones share."""
    flow = model.config.flow
    side = max(flow.multiple, 256 // flow.multiple * flow.multiple)
    height, width = (min(side, length) for length in (work.drawn[1], work.drawn[0]))
    count = max(1, min(work.candidates, _TIMED // (height * width)))
    cond = torch.full((1, flow.cond_channels, height, width), 128, dtype=torch.uint8)
    target = torch.full((count, flow.target_channels, height, width), 128, dtype=torch.uint8)
    seconds = 0.0
    for _ in range(2):
        start = time.perf_counter()
        for again in range(2):  # a draw and a score each read the condition, in tiles
            condition = model.encode_condition(cond)
            if again:
                model.log_prob(target, condition)
            else:
                latents = model.latent_shapes((height, width))
                model.decode([torch.zeros(count, *shape) for shape in latents], condition)
        wait(model.device)
        seconds = time.perf_counter() - start
    return seconds / (count * height * width) * 1e6
