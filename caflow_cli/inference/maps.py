"""Score maps: which regions of an image contribute how much to its log-likelihood."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from ..devices import float64_device, to_float64
from ..errors import ensure
from ..layers import observed
from ..model import CAFlow, Condition
from ..tasks import HoleWindow, Pixels
from .sample import CustomPart, Request, Sampler
from .score import task_of
from .tiles import plan_tiles

_CELL = 4  # pixels: the cell of the finest latent
_SEED = 2**31  # first seed of the reference samples, far from those of candidates
_AT_ONCE = 2**24  # pixels of whole-image maps that are held at a time


@dataclass(frozen=True)
class Attribution:
    """A pair's score by region, compared with samples for the same condition."""

    target: Pixels  # as scored, at the model's size; for a hole filled in parts, the whole image
    nats: npt.NDArray[np.float64]  # (H, W), sums to the log-likelihood; in parts, to the rank score
    # (H / cell, W / cell), rounded up: standard deviations above the samples' mean
    z: npt.NDArray[np.float64]
    cell: int  # pixels
    samples: int


def attribution(
    model: CAFlow,
    condition: Pixels,
    target: Pixels,
    mask: Pixels | None = None,
    samples: int = 32,
) -> Attribution:
    """Compare `log_prob_map` of a pair, cell by cell, with the maps of samples at temperature 1.

    Like a candidate, each sample is composed with the image, reduced again, and scored with the
    same noise, because a raw sample could contradict the condition. If a hole is filled in parts,
    the maps of the parts are summed at their places in the image.

    Raises:
        CaflowError: Condition and target do not fit each other, or are too large for one piece.
    """
    task = task_of(model)
    height, width = size = task.model_size(condition, mask)
    ensure(
        len(plan_tiles(size, model.config.flow.multiple)) == 1,
        f"{width}×{height} pixels are scored in tiles, which have no map",
        "crop both images",
    )
    parts = Request.of(task, condition, mask).parts
    reduced, scored = parts[0].reduce(condition, target)
    # Not strict: for some conditions most samples at tau 1 diverge, but they still have a map.
    first = CustomPart(lambda _: reduced, parts[0].compose, parts[0].reduce)
    at_a_time = max(1, _AT_ONCE // (target.shape[0] * target.shape[1])) if len(parts) > 1 else None
    sampler = Sampler(
        model, [Request(condition, [first, *parts[1:]])], strict=False, batch_size=at_a_time
    )

    def map_of(images: Sequence[Pixels]) -> Tensor:
        maps = []
        for number in range(len(parts)):
            conditions, targets = sampler.reduce([(0, number, image) for image in images])
            assert conditions.kept is not None
            assert isinstance(targets, Tensor)
            maps.append(log_prob_map(model, targets, conditions.kept))
        if len(parts) == 1:
            return maps[0]
        total = np.zeros((*condition.shape[:2], len(images)))
        for part, values in zip(parts, maps, strict=True):
            assert isinstance(part, HoleWindow)
            part.window.of(total)[:] += part.onto_pixels(values.cpu().numpy()).transpose(1, 2, 0)
        return torch.from_numpy(total).permute(2, 0, 1)

    nats = map_of([target])
    batches = sampler.batches(1.0, range(samples), [_SEED], None)
    drawn = torch.cat([_cells(map_of([one.image for one in batch])) for batch in batches])
    z = (_cells(nats) - drawn.mean(0)) / drawn.std(0).clamp_min(1e-6)
    return Attribution(
        target=scored if len(parts) == 1 else target,
        nats=nats[0].cpu().numpy(),
        z=z[0].cpu().numpy(),
        cell=_CELL,
        samples=samples,
    )


def _cells(nats: Tensor) -> Tensor:
    return F.avg_pool2d(nats[:, None], _CELL, ceil_mode=True, divisor_override=1)[:, 0]


def log_prob_map(model: CAFlow, target: Tensor, cond: Tensor | Condition) -> Tensor:
    """Spread `model.log_prob(target, cond)` over the image: (B, H, W) float64, nats per pixel.

    Each term of equation 9 has a resolution. It is summed over channels and spread evenly over the
    cell of pixels that it covers, so the map sums to the score. A latent depends on pixels far
    beyond its cell, so the map is an attribution, not a likelihood per pixel.
    """
    condition = model.encode_condition(cond)
    batch, (height, width) = target.shape[0], condition.size
    cells: dict[tuple[int, int], Tensor] = {}  # the sum of terms, by resolution

    def add(term: Tensor) -> None:
        # A function with shared weights runs all its uses for an image as neighbours in the batch.
        values = to_float64(term).reshape(batch, -1, *term.shape[-2:]).sum(1)
        size = (values.shape[-2], values.shape[-1])
        cells[size] = cells[size] + values if size in cells else values

    with observed(add):
        model.log_prob(target, condition)
    total = torch.zeros(
        (batch, height, width), dtype=torch.float64, device=float64_device(model.device)
    )
    for (rows, columns), values in cells.items():
        down, right = height // rows, width // columns
        per_pixel = values.repeat_interleave(down, -2).repeat_interleave(right, -1)
        total += per_pixel / (down * right)
    return total
