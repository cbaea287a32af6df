"""Sample grids show what a user would get."""

from __future__ import annotations

import helpers
import torch

from caflow_cli.tasks import get_task, settled
from caflow_cli.training.samples import sample_grid


def test_a_grid_shows_candidates_as_they_are_ranked():
    config = helpers.task_config("inpaint", scales=2, anchor="pixels")
    model = helpers.data_like_model(config, seed=3, size=32).eval()
    targets, conditions = helpers.image_pair(model, 2, 32)
    grid = torch.from_numpy(sample_grid(model, targets, conditions, 0.9, 3)).permute(2, 0, 1)
    assert grid.shape == (3, 64, 5 * 32)
    for row, (target, cond) in enumerate(zip(targets, conditions, strict=True)):
        tiles = grid[:, 32 * row : 32 * (row + 1)].split(32, dim=2)
        assert torch.equal(tiles[0], cond[:3])
        assert torch.equal(tiles[-1], target)
        candidates = torch.stack(tiles[1:-1])
        assert len({tile.numpy().tobytes() for tile in candidates}) == 3
        repeated = cond.expand(3, -1, -1, -1)
        assert torch.equal(candidates, settled(get_task(config), repeated, candidates))
        scores = model.log_prob(candidates.contiguous(), repeated.contiguous())
        assert scores.diff().max() <= 0
