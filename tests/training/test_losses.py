"""Losses that a phase can minimize."""

import copy
import math
import os

import pytest
import torch

from caflow_cli.errors import CaflowError
from caflow_cli.perceptual import LEAST_SIDE
from caflow_cli.training.config import OptimConfig, SamplesConfig
from caflow_cli.training.losses import (
    LossModule,
    checkerboard,
    guide_loss,
    image_loss,
    likelihood,
    perceptual_distance,
    sample_loss,
    single_sample_loss,
)
from caflow_cli.training.phases import phases_of

DIMS = 3 * 16 * 16
TRUNK = os.environ.get("CAFLOW_LPIPS_VGG_WEIGHTS")
with_trunk = pytest.mark.skipif(not TRUNK, reason="CAFLOW_LPIPS_VGG_WEIGHTS is not set")


def square(x, w):
    return (x - w).square().mean((1, 2, 3))


def sampled(batch):
    """Targets, conditions and seeds of the images that get a loss on samples."""
    some = batch.seeds >= 0
    return batch.target[some], batch.cond[some], batch.seeds[some]


class Seen:
    """`square`, which keeps the images that it compares."""

    def __init__(self):
        self.pairs = []

    def __call__(self, x, w):
        self.pairs.append((x, w))
        return square(x, w)


@torch.no_grad()
@pytest.mark.parametrize("of_holes", [False, True])
def test_the_loss_is_equation_9_and_a_weight_of_log_p_of_y(model, batch, holes, of_holes):
    """λ is relative to the dimensions of the target, also where the condition has four channels."""
    model, batch = holes if of_holes else (model, batch)
    terms = model(*batch[:3])
    loss = LossModule(model, likelihood(0.25))(*batch)
    bits = -float(terms.log_prob.mean()) / (DIMS * math.log(2))
    total = -float((terms.log_prob + 0.25 * terms.cond_log_prob).mean()) / (DIMS * math.log(2))
    cond = -float(terms.cond_log_prob.mean()) / (batch.cond[0].numel() * math.log(2))
    assert float(loss.bits_per_dim) == pytest.approx(bits, rel=1e-12)
    assert float(loss.cond_bits_per_dim) == pytest.approx(cond, rel=1e-12)
    assert float(loss.loss) == pytest.approx(total, rel=1e-12)
    assert all(part.dtype == torch.float64 for part in loss)


def test_the_guides_image_is_compared_with_the_target(guided_model, batch):
    model = copy.deepcopy(guided_model)
    anchor = model.density.A
    predicted = anchor.predict(anchor.read(batch.cond))
    assert predicted.shape == batch.target.shape
    x, w = predicted / 128 - 1, (batch.target + 0.5) / 128 - 1
    near, alike = (x - w).abs().mean(), square(x, w).mean()
    plain = guide_loss(image_loss())(model, batch)
    loss = guide_loss(image_loss(square, 2.0))(model, batch)
    assert plain.loss.item() == pytest.approx(near.item(), rel=1e-6)
    assert loss.loss.item() == pytest.approx((near + 2 * alike).item(), rel=1e-6)
    assert loss.bits_per_dim == loss.loss
    loss.loss.backward()
    learned = {name for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    assert learned
    assert all(name.startswith("density.A.guide.") for name in learned)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("tau", [0.0, 0.7])
def test_what_is_compared_is_the_antithetic_mean_as_the_task_composes_it(holes, tau, training):
    """In the hole it is the mean of `decode` of z and -z; outside of it, it is the truth."""
    model, batch = holes
    model = copy.deepcopy(model).train(training)
    target, cond, seeds = sampled(batch)
    images = Seen()
    lost = sample_loss(images, tau)(model, target, cond, seeds)
    ((x, w),) = images.pairs
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
        torch.testing.assert_close(x[row][hole[row]], mean[0][hole[row]], atol=1e-4, rtol=0)
    torch.testing.assert_close(lost, square(x, w))


def test_the_image_at_tau_0_and_one_sample_are_compared(holes):
    """Both are what `decode` gives for the seed's latents, composed by the task."""
    model, batch = holes
    target, cond, seeds = sampled(batch)
    images = Seen()
    lost = single_sample_loss(images, images, 3.0, 0.7)(model, target, cond, seeds)
    (predicted, w), (sample, again) = images.pairs
    assert torch.equal(w, again)
    torch.testing.assert_close(w, (target + 0.5) / 128 - 1)
    torch.testing.assert_close(lost, square(predicted, w) + 3 * square(sample, w))
    hole = (cond[:, 3:] >= 128).expand_as(w)
    torch.testing.assert_close(sample[~hole], w[~hole])
    for row, seed in enumerate(seeds.tolist()):
        generator = torch.Generator().manual_seed(seed)
        z = [torch.randn((1, *s), generator=generator) for s in model.latent_shapes((16, 16))]
        condition = cond[row : row + 1].byte()
        for tau, x in ((0.0, predicted), (0.7, sample)):
            decoded = model.decode([tau * t for t in z], condition)[0].clamp(0, 256) / 128 - 1
            decoded = decoded.to(x)[0]
            torch.testing.assert_close(x[row][hole[row]], decoded[hole[row]], atol=1e-4, rtol=0)


def test_a_run_can_learn_from_single_samples(holes):
    model, batch = holes
    inputs = sampled(batch)
    samples = SamplesConfig(share=1.0, tau=0.7, perceptual=0, single=3.0)
    *_, phase = phases_of(OptimConfig(images=1), model.config.flow, samples, lambda: square)
    expected = single_sample_loss(image_loss(), square, 3.0, 0.7)(model, *inputs)
    torch.testing.assert_close(phase.samples(model, *inputs), expected)


def test_the_flows_learn_from_samples_and_from_the_likelihood_of_all(holes):
    model, batch = holes
    model, losses = copy.deepcopy(model), sample_loss(square, 0.5)
    loss = likelihood(0.25, losses, 3.0)(model, batch)
    plain = likelihood(0.25)(model, batch)
    assert int((batch.seeds >= 0).sum()) == 2
    expected = losses(model, *sampled(batch)).mean().detach()
    assert loss.image.item() == pytest.approx(float(expected), rel=1e-5)
    assert loss.loss.item() == pytest.approx(plain.loss.item() + 3 * float(expected), rel=1e-6)
    assert loss.bits_per_dim.item() == pytest.approx(plain.bits_per_dim.item(), rel=1e-9)
    parts = [likelihood(0.25, losses, 3.0)(model, part).loss.item() for part in batch.split(4)]
    assert loss.loss.item() == pytest.approx(sum(parts) / 4, rel=1e-5)  # two of which have none
    assert plain.image == 0
    loss.image.backward()
    learned = {name for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    assert {name.split(".")[1] for name in learned} == {"A", "R", "T", "F"}


@with_trunk
def test_the_perceptual_distance_has_a_gradient_and_is_that_of_the_network():
    generator = torch.Generator().manual_seed(0)
    x, w = (torch.rand(2, 3, 64, 64, generator=generator) * 2 - 1 for _ in range(2))
    x.requires_grad_()
    exact = perceptual_distance(None, torch.device("cpu"), 64, bf16=False)(x, w)
    rounded = perceptual_distance(None, torch.device("cpu"), 64, bf16=True)(x, w)
    assert exact.tolist() == pytest.approx([0.32426, 0.36462], abs=2e-5)
    assert rounded.tolist() == pytest.approx(exact.tolist(), rel=0.03)
    rounded.sum().backward()
    assert x.grad.isfinite().all()
    assert x.grad.any()
    smallest = perceptual_distance(None, torch.device("cpu"), LEAST_SIDE, bf16=False)
    assert (smallest(*(part[..., :LEAST_SIDE, :LEAST_SIDE] for part in (x, w))) > 0).all()


def test_images_that_are_too_small_for_vgg_are_refused_before_any_work():
    with pytest.raises(CaflowError, match="of 15 pixels") as caught:
        perceptual_distance("no such file", torch.device("cpu"), 15)
    assert caught.value.exit_code == 2


def pattern(amplitude: float, period: int, side: int = 64) -> torch.Tensor:
    cell = torch.randn(period, period, generator=torch.Generator().manual_seed(1))
    cell = amplitude * (cell - cell.mean()) / cell.std(correction=0)
    return cell.repeat(-(-side // period), -(-side // period))[:side, :side].expand(1, 3, -1, -1)


def test_a_checkerboard_is_measured_by_its_amplitude_and_other_detail_as_chance():
    for amplitude in (0.1, 0.2):
        assert float(checkerboard(pattern(amplitude, 4))) == pytest.approx(amplitude, rel=0.15)
    assert float(checkerboard(pattern(0.1, 2))) == pytest.approx(0.1, rel=0.15)
    turned = pattern(0.1, 4).clone()
    turned[..., 32:] *= -1  # a network may do that from one part of an image to the next
    assert float(checkerboard(turned)) > 0.06
    noise = torch.randn(8, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    assert checkerboard(noise).tolist() == pytest.approx([1 / 7] * 8, rel=0.2)
    assert float(checkerboard(pattern(0.1, 5))) < 0.03
    assert float(checkerboard(torch.linspace(0, 1, 64).expand(1, 3, 64, 64))) < 1e-3


def test_its_gradient_removes_the_checkerboard_and_little_else():
    even = torch.zeros(1, 3, 32, 32, requires_grad=True)
    checkerboard(even).sum().backward()
    assert torch.isfinite(even.grad).all()
    noise = 0.1 * torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(3))
    x = (noise + pattern(0.1, 4)).requires_grad_()
    for _ in range(200):
        (grad,) = torch.autograd.grad(image_loss(checkerboard_weight=1.0)(x, x.detach()).sum(), x)
        x = (x - 5.0 * grad).detach().requires_grad_()
    assert checkerboard(x).item() < 0.02
    assert (x - noise).std().item() < 0.6 * 0.1
