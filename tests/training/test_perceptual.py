"""The perceptual distance that guides learn from."""

from __future__ import annotations

import os

import pytest
import torch

from caflow_cli.errors import CaflowError
from caflow_cli.perceptual import LEAST_SIDE
from caflow_cli.training.perceptual import perceptual_distance

TRUNK = os.environ.get("CAFLOW_LPIPS_VGG_WEIGHTS")
with_trunk = pytest.mark.skipif(not TRUNK, reason="CAFLOW_LPIPS_VGG_WEIGHTS is not set")


def two_pairs():
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(2, 3, 64, 64, generator=generator) * 2 - 1 for _ in range(2)]


@with_trunk
def test_the_distance_that_guides_learn_from_has_a_gradient_and_is_that_of_the_network():
    x, w = two_pairs()
    x.requires_grad_()
    exact = perceptual_distance(None, torch.device("cpu"), 64, bf16=False)(x, w)
    rounded = perceptual_distance(None, torch.device("cpu"), 64, bf16=True)(x, w)
    assert exact.tolist() == pytest.approx([0.32426, 0.36462], abs=2e-5)
    assert rounded.tolist() == pytest.approx(exact.tolist(), rel=0.03)
    rounded.sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()
    assert x.grad.any()


def test_pictures_that_vgg_cannot_look_at_are_refused_before_any_work():
    with pytest.raises(CaflowError, match="of 15 pixels") as caught:
        perceptual_distance("no such file", torch.device("cpu"), 15)
    assert caught.value.exit_code == 2
    assert "optim.guide_perceptual=0" in caught.value.hint


@with_trunk
def test_the_least_picture_that_is_taken_has_a_distance():
    distance = perceptual_distance(None, torch.device("cpu"), LEAST_SIDE, bf16=False)
    x, w = (pictures[..., :LEAST_SIDE, :LEAST_SIDE] for pictures in two_pairs())
    assert (distance(x, w) > 0).all()
    with pytest.raises(RuntimeError, match="too small"):
        distance(x[..., 1:], w[..., 1:])
