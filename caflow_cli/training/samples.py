"""Sample grids of a run: condition | candidates by rank | truth."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..flows import to_uint8
from ..model import CAFlow
from ..tasks import get_task, settled

__all__ = ["sample_grid"]


@torch.no_grad()
def sample_grid(
    model: CAFlow, targets: Tensor, conditions: Tensor, tau: float, candidates: int, seed: int = 0
) -> np.ndarray:
    """One row an image, candidates by falling log-likelihood: uint8 (rows, columns, 3).

    They are composed with the condition, as those of `restore` are.
    """
    encoding, task = model.encode_condition(conditions), get_task(model.config)
    raw = to_uint8(model.sample(encoding, tau, candidates, seed)).cpu().flatten(0, 1)
    settled_draws = settled(task, conditions.repeat_interleave(candidates, 0), raw)
    scores = model.log_prob(settled_draws, encoding).view(len(targets), candidates)
    draws = settled_draws.unflatten(0, (len(targets), candidates))
    order = scores.argsort(dim=1, descending=True, stable=True).cpu()
    rows = []
    for image, target in enumerate(targets):
        ranked = [draws[image, k] for k in order[image]]
        tiles = [conditions[image][: target.shape[0]], *ranked, target]
        rows.append(torch.cat([t.expand(3, -1, -1) for t in tiles], dim=2))
    return torch.cat(rows, dim=1).permute(1, 2, 0).contiguous().numpy()
