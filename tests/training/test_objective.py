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
    central_losses,
    density_and_centre,
    meant_picture,
    picture_loss,
    whole_density,
)

DIMS = 3 * 16 * 16


@torch.no_grad()
def test_the_loss_of_all_is_equation_9_and_a_weight_of_log_p_of_y(model, batch):
    terms = model(*batch.points)
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
        plain = meant_picture(picture_loss())(model, batch)
        near, alike = (x - w).abs().mean(), distance(x, w).mean()
    loss = meant_picture(picture_loss(distance, 2.0))(model, batch)
    assert float(plain.loss) == pytest.approx(float(near), rel=1e-6)
    assert loss.loss.item() == pytest.approx(float(near + 2 * alike), rel=1e-6)
    torch.testing.assert_close(seen[-1], (x, w))
    loss.loss.backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is not None) == name.startswith("density.A.guide."), name


def square(x, w):
    return (x - w).square().mean((1, 2, 3))


@pytest.mark.parametrize("training", [False, True])
def test_central_pictures_are_those_of_tau_0_as_the_task_writes_them(holes, training):
    """Rounded, they are what `sample` draws at τ 0; outside the hole they are the truth."""
    model, batch = holes
    model = copy.deepcopy(model).train(training)
    seen = []

    def pictures(x, w):
        seen.append((x, w))
        return square(x, w)

    lost = central_losses(model, batch.target, batch.cond, pictures)
    ((x, w),) = seen
    torch.testing.assert_close(w, (batch.target + 0.5) / 128 - 1)
    hole = (batch.cond[:, 3:] >= 128).expand_as(x)
    assert hole.any()
    torch.testing.assert_close(x[~hole], w[~hole])
    drawn, _ = model.eval().decode(
        [torch.zeros(len(x), *s) for s in model.latent_shapes((16, 16))], batch.cond.byte()
    )
    torch.testing.assert_close(
        x[hole], (drawn.clamp(0, 256) / 128 - 1).to(x)[hole], atol=1e-4, rtol=0
    )
    torch.testing.assert_close(lost, square(x, w))


def test_the_flows_learn_from_central_pictures_and_the_likelihood_of_all(holes):
    model, batch = holes
    model = copy.deepcopy(model)
    loss = density_and_centre(0.25, 3.0, square)(model, batch)
    plain = whole_density(0.25)(model, batch)
    assert batch.drawn.tolist() == [True, False, False, False, False, True, False, False]
    two = batch.drawn
    expected = central_losses(model, batch.target[two], batch.cond[two], square).mean().detach()
    assert loss.picture.item() == pytest.approx(float(expected), rel=1e-5)
    assert loss.loss.item() == pytest.approx(plain.loss.item() + 3 * float(expected), rel=1e-6)
    assert loss.bits_per_dim.item() == pytest.approx(plain.bits_per_dim.item(), rel=1e-9)
    assert plain.picture == 0
    loss.picture.backward()
    learned = {name for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    assert {name.split(".")[1] for name in learned} == {"A", "R", "T", "F"}


@torch.no_grad()
@pytest.mark.parametrize("parts", [2, 4, 8])
def test_the_loss_of_central_pictures_does_not_depend_on_parts(holes, parts):
    model, batch = holes
    objective = density_and_centre(0.1, 1.0, square)
    whole = objective(model, batch)
    means = [torch.stack(objective(model, part)) for part in batch.split(parts)]
    torch.testing.assert_close(torch.stack(means).mean(0), torch.stack(whole), rtol=1e-5, atol=1e-7)
