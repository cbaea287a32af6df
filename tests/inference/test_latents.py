"""The latents of a candidate come from one generator, one set behind the other."""

from __future__ import annotations

import torch

from caflow_cli.inference.latents import Latents


def test_every_call_takes_the_next_latents_of_the_seed(small_model):
    size = (16, 48)
    latents = Latents(small_model, 42, size)
    generator = torch.Generator().manual_seed(42)
    for _ in range(3):
        for z, shape in zip(latents(), small_model.latent_shapes(size), strict=True):
            assert torch.equal(z, torch.randn(shape, generator=generator))


def test_the_first_are_those_of_a_sample(small_model):
    ours, theirs = Latents(small_model, 7, (32, 32))(), small_model.latent_noise(7, (32, 32))
    assert all(map(torch.equal, ours, theirs))
