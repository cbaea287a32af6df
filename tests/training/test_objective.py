"""Losses that a phase can minimise."""

from __future__ import annotations

import copy
import math

import helpers
import pytest
import torch

from caflow_cli.flows import Logit, standard_normal_log_prob
from caflow_cli.training.batches import Batch
from caflow_cli.training.lattice import lattice
from caflow_cli.training.objective import (
    ObjectiveModule,
    anchor_density,
    density_and_draws,
    losses_of_draws,
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
def test_the_weight_of_log_p_of_y_is_of_the_dimensions_of_w(grey_model):
    """A grey condition has a third of the target's values."""
    target, cond = helpers.image_pair(grey_model, 4, 16)
    noise = torch.rand(target.shape, generator=helpers.generator(7))
    batch = Batch(target.float(), cond + 0.5, noise, torch.full((4,), -1))
    terms = grey_model(*batch.points)
    loss = whole_density(0.25)(grey_model, batch)
    total = terms.log_prob.mean() + 0.25 * terms.cond_log_prob.mean()
    assert float(loss.loss) == pytest.approx(-float(total) / (DIMS * math.log(2)), rel=1e-12)
    cond_bits = -float(terms.cond_log_prob.mean()) / (16 * 16 * math.log(2))
    assert float(loss.cond_bits_per_dim) == pytest.approx(cond_bits, rel=1e-12)


@torch.no_grad()
def test_an_anchor_alone_hands_on_what_is_to_be_standard_normal(model, batch):
    """Without a guide it is the logit."""
    h, logdet = Logit()(batch.target + batch.noise)
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


def test_what_repeats_on_the_lattice_is_a_part_of_the_loss():
    x, w = torch.rand(2, 2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    near = (x - w).abs().flatten(1).mean(1)
    torch.testing.assert_close(
        picture_loss(square, 2.0, 3.0)(x, w), near + 2 * square(x, w) + 3 * lattice(x)
    )
    torch.testing.assert_close(picture_loss(lattice_weight=3.0)(x, w), near + 3 * lattice(x))


def square(x, w):
    return (x - w).square().mean((1, 2, 3))


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("tau", [0.0, 0.7])
def test_what_is_compared_is_the_mean_of_two_opposite_draws_as_the_task_writes_it(
    holes, tau, training
):
    """In the hole it is what `decode` makes of z and -z; outside of it, it is the truth."""
    model, batch = holes
    model = copy.deepcopy(model).train(training)
    some = batch.draws >= 0
    target, cond, seeds = batch.target[some], batch.cond[some], batch.draws[some]
    assert len(seeds) == 2
    seen = []

    def pictures(x, w):
        seen.append((x, w))
        return square(x, w)

    lost = losses_of_draws(pictures, tau)(model, target, cond, seeds)
    ((x, w),) = seen
    torch.testing.assert_close(w, (target + 0.5) / 128 - 1)
    hole = (cond[:, 3:] >= 128).expand_as(x)
    assert hole.any()
    torch.testing.assert_close(x[~hole], w[~hole])
    model.eval()
    for row, seed in enumerate(seeds.tolist()):
        generator = torch.Generator().manual_seed(seed)
        own = tau * torch.rand((), generator=generator)
        z = [own * torch.randn((1, *s), generator=generator) for s in model.latent_shapes((16, 16))]
        assert (sum(float(t.abs().sum()) for t in z) > 0) == (tau > 0)
        condition = cond[row : row + 1].byte()
        there, back = (
            model.decode([sign * t for t in z], condition)[0].clamp(0, 256) for sign in (1, -1)
        )
        mean = ((there + back) / 256 - 1).to(x)
        here = hole[row]
        torch.testing.assert_close(x[row][here], mean[0][here], atol=1e-4, rtol=0)
    torch.testing.assert_close(lost, square(x, w))


def test_the_flows_learn_from_draws_and_the_likelihood_of_all(holes):
    model, batch = holes
    model, losses = copy.deepcopy(model), losses_of_draws(square, 0.5)
    loss = density_and_draws(0.25, 3.0, losses)(model, batch)
    plain = whole_density(0.25)(model, batch)
    two = batch.draws >= 0
    assert two.tolist() == [True, False, False, False, False, True, False, False]
    expected = losses(model, batch.target[two], batch.cond[two], batch.draws[two]).mean().detach()
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
    objective = density_and_draws(0.1, 1.0, losses_of_draws(square, 0.5))
    whole = objective(model, batch)
    means = [torch.stack(objective(model, part)) for part in batch.split(parts)]
    torch.testing.assert_close(torch.stack(means).mean(0), torch.stack(whole), rtol=1e-5, atol=1e-7)
