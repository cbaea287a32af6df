"""Sample grids show what a user would get."""

from __future__ import annotations

import copy

import helpers
import numpy as np
import pytest
import torch

from caflow_cli.inference import restore
from caflow_cli.tasks import get_task
from caflow_cli.tasks.base import grey
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
        assert torch.equal(candidates, helpers.settled(get_task(config), repeated, candidates))
        scores = model.log_prob(candidates.contiguous(), repeated.contiguous())
        assert scores.diff().max() <= 0


@pytest.mark.parametrize("task", ["superres", "colorize", "inpaint", "paired"])
def test_a_candidate_of_a_grid_is_the_one_that_restore_draws(models_32, task):
    """Where the condition is that of a user's picture, it is the same picture by rank."""
    model, target = models_32[task], helpers.smooth_image(1, 3, 32, seed=5)
    image, mask = target[0].permute(1, 2, 0).contiguous().numpy(), None
    if task == "superres":
        image = get_task(model.config).degrade(image)
    if task == "inpaint":
        mask = np.zeros((32, 32), np.uint8)
        mask[8:24, 8:24] = 255
    if task == "colorize":
        image = np.repeat(grey(image)[..., None], 3, axis=2)
    cond = torch.from_numpy(get_task(model.config).condition(image, mask)).permute(2, 0, 1)[None]
    grid = sample_grid(model, target, cond, 0.9, 3, seed=4)
    ranked = restore(model, image, 0.9, 3, seed=4, mask=mask).ranked
    expected = np.concatenate([candidate.image for candidate in ranked], 1)
    np.testing.assert_array_equal(grid[:, 32:-32], expected)


def test_a_grid_shows_draws_that_are_not_finite(models_32):
    """A run goes on: a grid is no result."""
    model = copy.deepcopy(models_32["superres"])
    target, cond = helpers.image_pair(model, 2, 32)
    with torch.no_grad():
        next(model.density.T.parameters()).fill_(float("nan"))
    assert sample_grid(model, target, cond, 0.9, 2).shape == (64, 4 * 32, 3)
