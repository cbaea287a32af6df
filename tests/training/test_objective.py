"""Losses that a phase can minimise."""

from __future__ import annotations

import copy
import math

import pytest
import torch

from caflow_cli.flows import Logit, standard_normal_log_prob
from caflow_cli.training.objective import (
    ObjectiveModule,
    anchor_density,
    meant_picture,
    whole_density,
)

DIMS = 3 * 16 * 16


@torch.no_grad()
def test_the_loss_of_all_is_equation_9_and_a_weight_of_log_p_of_y(model, batch):
    terms = model(*batch)
    loss = whole_density(0.25)(model, batch)
    bits = -float(terms.log_prob.mean()) / (DIMS * math.log(2))
    cond = -float(terms.cond_log_prob.mean()) / (DIMS * math.log(2))  # y has as many dimensions
    assert float(loss.bits_per_dim) == pytest.approx(bits, rel=1e-12)
    assert float(loss.cond_bits_per_dim) == pytest.approx(cond, rel=1e-12)
    assert float(loss.loss) == pytest.approx(bits + 0.25 * cond, rel=1e-12)
    assert all(part.dtype == torch.float64 for part in loss)


@torch.no_grad()
def test_an_anchor_alone_hands_on_what_is_to_be_standard_normal(model, batch):
    """Without a guide it is the logit."""
    h, logdet = Logit(model.config.flow.alpha)(batch.target + batch.noise)
    expected = -(logdet + standard_normal_log_prob(h)).mean() / (DIMS * math.log(2))
    loss = anchor_density(model, batch)
    assert float(loss.loss) == pytest.approx(float(expected), rel=1e-12)
    assert loss.loss == loss.bits_per_dim
    assert loss.cond_bits_per_dim == 0


@torch.no_grad()
def test_the_module_computes_the_objective_of_its_model(guided_model, batch):
    for objective in (whole_density(0.1), anchor_density):
        module = ObjectiveModule(guided_model, objective)
        assert module(*batch) == objective(guided_model, batch)
        assert len(list(module.parameters())) == len(list(guided_model.parameters()))


def test_the_picture_that_is_meant_is_compared_as_it_looks(guided_model, batch):
    model = copy.deepcopy(guided_model)
    meant = model.meant_picture(batch.cond)
    assert meant.shape == batch.target.shape
    x, w = meant / 128 - 1, (batch.target + 0.5) / 128 - 1
    seen = []

    def distance(a, b):
        seen.append((a, b))
        return (a - b).square().mean((1, 2, 3))

    with torch.no_grad():
        plain = meant_picture()(model, batch)
        near, alike = (x - w).abs().mean(), distance(x, w).mean()
    loss = meant_picture(distance, 2.0)(model, batch)
    assert float(plain.loss) == pytest.approx(float(near), rel=1e-6)
    assert loss.loss.item() == pytest.approx(float(near + 2 * alike), rel=1e-6)
    torch.testing.assert_close(seen[-1], (x, w))
    loss.loss.backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is not None) == name.startswith("density.A.guide."), name
