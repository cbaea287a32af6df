"""Validation: images that stay the same, and grids that show what a user would get."""

import copy
import math

import helpers
import numpy as np
import pytest
import torch
from accelerate import Accelerator

from caflow_cli.restoration import restore
from caflow_cli.tasks import Inpaint, get_task
from caflow_cli.tasks.base import gray
from caflow_cli.training import OptimConfig, RunConfig, SamplesConfig
from caflow_cli.training.log import EventLog, Progress
from caflow_cli.training.phases import phases_of
from caflow_cli.training.validate import Validation, sample_grid, validate

from .test_data import dataset


def test_images_and_holes_of_validation_stay_the_same():
    data = dataset(Inpaint(4, 16, 8), helpers.smooth_image(6, 3, 16, seed=3))
    first, again, other = (Validation(data, data, 4, seed=s) for s in (0, 0, 1))
    assert len(first.val[0]) == len(first.train[0]) == 4
    for a, b in zip((*first.val, *first.train), (*again.val, *again.train), strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(first.val[0], other.val[0])


def test_samples_are_measured_where_they_have_a_loss(holes):
    model, _ = holes
    train, val = (dataset(Inpaint(4, 16, 8), helpers.smooth_image(6, 3, 16, k)) for k in (3, 4))
    validation = Validation(train, val, 4, seed=0)
    samples = SamplesConfig(share=0.5, weight=3.0, perceptual=0.0, tau=0.0)
    *_, before, last = phases_of(OptimConfig(images=1), model.config.flow, samples)
    accelerator = Accelerator(cpu=True)
    plain, fit = (validation.measure(model, accelerator, phase) for phase in (before, last))
    assert plain.val_image_loss is None
    assert plain.loss == plain.val_bits_per_dim == fit.val_bits_per_dim
    w, y = validation.val
    with torch.no_grad():
        shapes = model.latent_shapes((16, 16))
        sample = model.decode([torch.zeros(4, *shape) for shape in shapes], y)[0].clamp(0, 256)
    near = (sample - w - 0.5).abs().where(y[:, 3:] >= 128, 0.0).mean() / 128
    assert fit.val_image_loss == pytest.approx(float(near), rel=1e-4)
    assert fit.loss == pytest.approx(fit.val_bits_per_dim + 3 * fit.val_image_loss)


def test_a_guide_alone_is_measured_by_the_psnr_of_its_image(guided_model):
    train, val = (
        dataset(get_task(guided_model.config), helpers.smooth_image(6, 3, 16, k)) for k in (3, 4)
    )
    validation = Validation(train, val, 4, seed=0)
    optim = OptimConfig(images=1, guide_first=1.0, guide_perceptual=0.0)
    guide, _ = phases_of(optim, guided_model.config.flow, SamplesConfig())
    metrics = validation.measure(guided_model, Accelerator(cpu=True), guide)
    assert metrics.val_bits_per_dim is None
    assert metrics.loss == -metrics.val_psnr
    for psnr, (w, y) in (
        (metrics.val_psnr, validation.val),
        (metrics.train_psnr, validation.train),
    ):
        with torch.no_grad():
            anchor = guided_model.density.A
            image = anchor.predict(anchor.read(y + 0.5)) - 0.5
        errors = (image - w).double().square().mean((1, 2, 3))
        assert psnr == pytest.approx(float((10 * torch.log10(255**2 / errors)).mean()), rel=1e-6)


def test_a_model_that_is_no_longer_finite_replaces_no_other(model, tmp_path):
    data = dataset(get_task(model.config), helpers.smooth_image(6, 3, 16, seed=3))
    validation = Validation(data, data, 4, seed=0)
    optim = OptimConfig(images=8)
    config = RunConfig("photos", str(tmp_path), optim, model.config.flow, model.config.task)
    log = EventLog(config, Accelerator(cpu=True), Progress())
    (phase,) = phases_of(optim, model.config.flow, SamplesConfig())
    assert validate(validation, model, phase, log).val_bits_per_dim < 100
    files = [tmp_path / f"{name}.safetensors" for name in ("last", "best")]
    before = [file.read_bytes() for file in files]
    broken = copy.deepcopy(model)
    torch.nn.init.constant_(next(broken.density.T.parameters()), torch.inf)
    assert not math.isfinite(validate(validation, broken, phase, log).val_bits_per_dim)
    assert [file.read_bytes() for file in files] == before


@pytest.mark.parametrize("task", ["superres", "colorize", "inpaint", "paired"])
def test_a_grid_shows_the_candidates_that_restore_draws_by_rank(models_32, task):
    model, target = models_32[task], helpers.smooth_image(1, 3, 32, seed=5)
    image, mask = target[0].permute(1, 2, 0).contiguous().numpy(), None
    if task == "superres":
        image = get_task(model.config).degrade(image)
    if task == "inpaint":
        mask = np.zeros((32, 32), np.uint8)
        mask[8:24, 8:24] = 255
    if task == "colorize":
        image = np.repeat(gray(image)[..., None], 3, axis=2)
    (part,) = get_task(model.config).parts(image, mask)
    cond = torch.from_numpy(part.condition(image)).permute(2, 0, 1)[None]
    grid = sample_grid(model, target, cond, 0.9, 3)
    ranked = restore(model, image, 0.9, 3, seed=0, mask=mask).ranked
    np.testing.assert_array_equal(grid[:, 32:-32], np.concatenate([c.image for c in ranked], 1))
    np.testing.assert_array_equal(grid[:, :32], cond[0, :3].expand(3, -1, -1).permute(1, 2, 0))
    np.testing.assert_array_equal(grid[:, -32:], target[0].permute(1, 2, 0))
