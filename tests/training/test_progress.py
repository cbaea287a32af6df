"""Progress of a run: budgets, the running mean, its record."""

from __future__ import annotations

import json

import pytest

from caflow_cli.training.config import OptimConfig
from caflow_cli.training.progress import Progress


def test_a_budget_is_of_images_or_of_minutes():
    progress = Progress(step=5, elapsed=90.0)
    by_images = OptimConfig(images=40, batch_size=4)
    assert (progress.images(by_images), progress.spent(by_images)) == (20, 0.5)
    assert progress.spent(OptimConfig(minutes=3.0)) == 0.5


def test_the_running_mean_forgets_its_first_losses_soon():
    progress = Progress()
    progress.take_loss(9.0)
    assert progress.running == 9.0
    for _ in range(30):
        progress.take_loss(1.0)
    assert progress.running == pytest.approx(1.0, abs=0.05)
    progress.forget_losses()
    assert progress.running == pytest.approx(1.0, abs=0.05)  # until there is another
    progress.take_loss(3.0)
    assert progress.running == 3.0


def test_a_state_of_before_a_field_existed_is_read():
    written = Progress(step=7, elapsed=1.5, best=3.0, running=3.5, losses=7, lr_scale=0.5)
    progress = Progress()
    progress.restore({**json.loads(json.dumps(written.record())), "batch_size": 4})
    assert progress == written
    progress.restore({"step": 2})
    assert progress == Progress(step=2)


def test_states_of_before_draws_taught_know_their_best_model():
    progress = Progress()
    progress.restore({"step": 5, "best": 3.5})
    assert (progress.best, progress.best_bits_per_dim) == (3.5, 3.5)
    again = Progress()
    again.restore({**progress.record(), "best": 3.25})
    assert (again.best, again.best_bits_per_dim) == (3.25, 3.5)
