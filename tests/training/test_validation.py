"""The pictures that a run is validated on."""

from __future__ import annotations

import pytest
import torch
from accelerate import Accelerator
from helpers import smooth_image

from caflow_cli.tasks import Inpaint
from caflow_cli.training.config import OptimConfig, SamplesConfig
from caflow_cli.training.dataset import Dataset
from caflow_cli.training.phases import phases_of
from caflow_cli.training.validation import Validation


def test_holes_of_validation_stay_the_same():
    dataset = Dataset(Inpaint(4, 16, 8), smooth_image(6, 3, 16, seed=3))
    first, again = (Validation(dataset, dataset, 4, seed=0) for _ in range(2))
    assert len(first.val[0]) == len(first.train[0]) == 4
    for a, b in zip((*first.val, *first.train), (*again.val, *again.train), strict=True):
        assert torch.equal(a, b)
    other = Validation(dataset, dataset, 4, seed=1)
    assert not torch.equal(first.val[0], other.val[0])


def test_draws_are_measured_where_they_teach(holes):
    model, _ = holes
    dataset = Dataset(Inpaint(4, 16, 8), smooth_image(6, 3, 16, seed=3))
    validation = Validation(dataset, dataset, 4, seed=0)
    optim, flow = OptimConfig(images=1), model.config.flow
    samples = SamplesConfig(share=0.5, weight=3.0, perceptual=0.0, tau=0.0)
    *_, before, taught = phases_of(optim, flow, None, samples)
    accelerator = Accelerator(cpu=True)
    plain, fit = (validation.measure(model, accelerator, phase) for phase in (before, taught))
    assert plain.picture is None
    assert plain.loss == plain.val == fit.val
    w, y = validation.val
    with torch.no_grad():
        drawn = model.central_picture(y + 0.5)
    near = (drawn - w - 0.5).abs().where(y[:, 3:] >= 128, 0.0).mean() / 128
    assert fit.picture == pytest.approx(float(near), rel=1e-4)
    assert fit.loss == pytest.approx(fit.val + 3 * fit.picture)
