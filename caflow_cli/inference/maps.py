"""Score maps: which regions of an image contribute how much to its log-likelihood."""

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..devices import float64_device, to_float64
from ..errors import ensure
from ..layers import observed
from ..model import CAFlow, Condition
from ..tasks import Pixels
from .candidate import Request
from .conditions import to_batch
from .sample import Sampler
from .score import Attribution, task_of
from .tiles import plan_tiles
from .whole import Whole

_CELL = 4  # pixels: the cell of the finest latent
_SEED = 2**31  # first seed of the reference samples, far from those of candidates
_AT_ONCE = 2**24  # pixels of whole-image maps that are held at a time


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
    request = Request.of(task_of(model), condition, mask)
    parts = request.parts
    height, width = request.size
    ensure(
        len(plan_tiles(request.size, model.config.flow.multiple)) == 1,
        f"{width}×{height} pixels are scored in tiles, which have no map",
        "crop both images",
    )
    reduced, scored = parts[0].reduce(condition, target)
    # Not strict: for some conditions most samples at tau 1 diverge, but they still have a map.
    sampler = Sampler(
        model,
        [request],
        strict=False,
        batch_size=None if len(parts) == 1 else max(1, _AT_ONCE // math.prod(target.shape[:2])),
        conditions=Whole(model, to_batch([reduced])),
    )
    nats = _maps(model, sampler, request, [target])
    batches = sampler.batches(1.0, range(samples), [_SEED], None)
    drawn = [_maps(model, sampler, request, [one.image for one in batch]) for batch in batches]
    cells = torch.cat([_cells(maps) for maps in drawn])
    z = (_cells(nats) - cells.mean(0)) / cells.std(0).clamp_min(1e-6)
    return Attribution(
        target=scored if len(parts) == 1 else target,
        nats=nats[0].cpu().numpy(),
        z=z[0].cpu().numpy(),
        cell=_CELL,
        samples=samples,
    )


def _maps(model: CAFlow, sampler: Sampler, request: Request, images: Sequence[Pixels]) -> Tensor:
    """The maps of composed images of a request: (N, H, W)."""
    maps = []
    for number in range(len(request.parts)):
        conditions, targets = sampler.reduce([(0, number, image) for image in images])
        assert isinstance(conditions, Whole)
        assert isinstance(targets, Tensor)
        maps.append(log_prob_map(model, targets, conditions.encoded))
    if len(maps) == 1:
        return maps[0]
    total = np.zeros((len(images), *images[0].shape[:2]))
    for part, values in zip(request.parts, maps, strict=True):
        part.add_map(total, values.cpu().numpy())
    return torch.from_numpy(total)


def _cells(nats: Tensor) -> Tensor:
    return F.avg_pool2d(nats[:, None], _CELL, ceil_mode=True, divisor_override=1)[:, 0]


def log_prob_map(model: CAFlow, target: Tensor, cond: Tensor | Condition) -> Tensor:
    """Spread `model.log_prob(target, cond)` over the image: (B, H, W) float64, nats per pixel.

    Each term of equation 9 has a resolution. It is summed over channels and spread evenly over the
    cell of pixels that it covers, so the map sums to the score. A latent depends on pixels far
    beyond its cell, so the map is an attribution, not a likelihood per pixel.
    """
    condition = model.encode_condition(cond)
    batch = target.shape[0]
    height, width = condition.size
    cells: dict[tuple[int, int], Tensor] = {}  # the sum of terms, by resolution

    def add(term: Tensor) -> None:
        # A function with shared weights runs all its uses for an image as neighbors in the batch.
        values = to_float64(term).reshape(batch, -1, *term.shape[-2:]).sum(1)
        size = (values.shape[-2], values.shape[-1])
        cells[size] = cells[size] + values if size in cells else values

    with observed(add):
        model.log_prob(target, condition)
    total = torch.zeros(
        (batch, height, width), dtype=torch.float64, device=float64_device(model.device)
    )
    for (rows, columns), values in cells.items():
        down = height // rows
        right = width // columns
        per_pixel = values.repeat_interleave(down, -2).repeat_interleave(right, -1)
        total += per_pixel / (down * right)
    return total
