"""Sample grids of a run: condition | candidates by rank | truth."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..inference.candidates import Conditioned, Request
from ..model import CAFlow
from ..tasks import get_task
from ..temperature import Tau

__all__ = ["sample_grid"]


@torch.no_grad()
def sample_grid(
    model: CAFlow, targets: Tensor, conditions: Tensor, tau: Tau, candidates: int, seed: int = 0
) -> np.ndarray:
    """Draw a row for each image, with candidates by rank: uint8 (rows, columns, 3).

    Candidates are composed with the condition, as in `restore`. Early in a run some may not be
    finite; they are shown too.

    Args:
        model: The model in training, or its average.
        targets: uint8 (N, 3, H, W).
        conditions: uint8 (N, C, H, W).
        tau: Temperature.
        candidates: M, all drawn in one batch.
        seed: Seed of candidate 0 of every image.
    """
    task = get_task(model.config)
    conds = conditions.permute(0, 2, 3, 1).numpy()
    requests = [Request.of_condition(task, cond) for cond in conds]
    conditioned = Conditioned(model, requests, strict=False)
    seeds, batch_size = [seed] * len(requests), candidates * len(requests)
    found = list(conditioned.candidates(tau, candidates, seeds, batch_size=batch_size))
    rows = []
    for first, cond, target in zip(
        range(0, batch_size, candidates), conditions, targets, strict=True
    ):
        own = found[first : first + candidates]
        scores = torch.tensor([score.rank_score for _, score in own], dtype=torch.float64)
        order = scores.argsort(descending=True, stable=True).tolist()
        images = [torch.from_numpy(own[k][0].image).permute(2, 0, 1) for k in order]
        tiles = [cond[: target.shape[0]], *images, target]
        rows.append(torch.cat([tile.expand(3, -1, -1) for tile in tiles], dim=2))
    return torch.cat(rows, dim=1).permute(1, 2, 0).contiguous().numpy()
