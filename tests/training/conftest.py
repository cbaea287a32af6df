"""Fixtures of the tests of training."""

from pathlib import Path

import helpers
import numpy as np
import pytest
import torch
from PIL import Image

from caflow_cli.model import CAFlow
from caflow_cli.training.sets import Batch

SEEDS = [5, -1, -1, -1, -1, 9, -1, -1]  # of samples: of one image in four


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Smooth random gradients, 16×16: 24 to train on, 8 to validate, one to test. Read only."""
    folder = tmp_path_factory.mktemp("photos")
    generator = np.random.default_rng(0)
    for split, count in (("train", 24), ("val", 8), ("test", 1)):
        (folder / split).mkdir()
        for index in range(count):
            corners = generator.uniform(0, 255, (2, 2, 3)).astype(np.uint8)
            image = Image.fromarray(corners).resize((16, 16), Image.Resampling.BICUBIC)
            image.save(folder / split / f"{index:03d}.png")
    return folder


@pytest.fixture(scope="session")
def model() -> CAFlow:
    """Two scales, with matrices of more than 16 channels. Read it, deepcopy it to change it."""
    return helpers.data_like_model(helpers.small_config(scales=2), seed=6, size=16)


@pytest.fixture(scope="session")
def guided_model() -> CAFlow:
    """The same with a guide."""
    return helpers.data_like_model(
        helpers.small_config(scales=2, guide=4, guide_net="unet"), seed=6, size=16
    )


def batch_for(model: CAFlow, count: int) -> Batch:
    target, cond = helpers.image_pair(model, count, 16)
    noise = torch.rand(target.shape, generator=helpers.generator(7))
    return Batch(target.float(), cond + 0.5, noise, torch.tensor(SEEDS[:count]))


@pytest.fixture(scope="session")
def holes() -> tuple[CAFlow, Batch]:
    """A model that fills holes behind a guide, and eight pairs. Read it, deepcopy it to change."""
    config = helpers.task_config(
        "inpaint", 16, scales=2, guide=4, guide_net="unet", anchor="pixels"
    )
    model = helpers.data_like_model(config, seed=6, size=16)
    return model, batch_for(model, 8)


@pytest.fixture(scope="session")
def batch(model: CAFlow) -> Batch:
    """Six pairs for `model` and `guided_model`."""
    return batch_for(model, 6)
