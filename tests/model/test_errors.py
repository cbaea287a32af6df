"""A caller's mistake is a CaflowError that names it, not a traceback from a convolution."""

import helpers
import pytest
import torch

from caflow_cli.errors import CaflowError


def uint8(*shape):
    return torch.zeros(shape, dtype=torch.uint8)


GOOD = uint8(2, 3, 32, 32)


def fails(named, call, *args, **kwargs):
    with pytest.raises(CaflowError) as caught:
        call(*args, **kwargs)
    assert named in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("method", ["log_prob", "encode"])
@pytest.mark.parametrize(
    ("target", "cond", "named"),
    [
        (uint8(2, 1, 32, 32), GOOD, "the target has shape (2, 1, 32, 32)"),
        (uint8(3, 32, 32), GOOD, "the target has shape (3, 32, 32)"),
        (GOOD, uint8(2, 4, 32, 32), "the condition has shape (2, 4, 32, 32)"),
        (uint8(2, 3, 24, 32), uint8(2, 3, 24, 32), "32×24"),
        (uint8(2, 3, 32, 40), GOOD, "the target is 40×32"),
        (GOOD, uint8(2, 3, 32, 40), "the condition is 40×32"),
        (GOOD, uint8(2, 3, 16, 16), "(16, 16)"),
        (GOOD, uint8(2, 3, 64, 32), "(64, 32)"),
        (uint8(3, 3, 32, 32), GOOD, "3 targets"),
        (uint8(1, 3, 32, 32), GOOD, "1 targets"),
    ],
)
def test_wrong_images(small_model, method, target, cond, named):
    fails(named, getattr(small_model, method), target, cond)


def test_other_mistakes(small_model):
    target, cond = helpers.image_pair(small_model, 2, 32)
    encoding = small_model.encode_condition(uint8(2, 3, 16, 16))
    fails("(16, 16)", small_model.log_prob, GOOD, encoding)
    fails("the target has shape", small_model, uint8(2, 1, 32, 32).float(), GOOD.float())
    fails("the condition has shape", small_model, GOOD.float(), uint8(2, 1, 32, 32).float())
    fails("targets have", small_model, target.float(), cond[:, :, :16, :16].float())
    fails("20×32", small_model.sample, uint8(2, 3, 32, 20))
    fails("noise_samples is 0", small_model.log_prob, target, cond, 0)
    fails("1 seeds for 2 images", small_model.sample, cond, seed=[1])
    fails("0 candidates", small_model.sample, cond, candidates=0)
    fails("shape", small_model.log_prob, target[:0], cond[:0])
    assert small_model.log_prob(target, cond[:1]).shape == (2,)  # candidates of one image


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64])
def test_scores_are_of_8_bit_images_and_conditions_are_such(small_model, dtype):
    fails("uint8", small_model.log_prob, GOOD.to(dtype), GOOD)
    fails("the condition is torch.", small_model.log_prob, GOOD, GOOD.to(dtype))
    fails("the condition is torch.", small_model.encode, GOOD, GOOD.to(dtype))


@pytest.mark.parametrize("offset", [300.0, -300.0, float("nan")])
def test_points_without_a_density_are_refused(small_model, offset):
    target, cond = helpers.image_pair(small_model, 1, 32)
    fails("target values range from", small_model.encode, target.float() + offset, cond)


def test_latents_of_other_shapes_and_numbers_are_refused(small_model):
    z, _ = small_model.encode(GOOD, GOOD)
    fails("latents of shapes", small_model.decode, z[::-1], GOOD)
    for count in (0, 5, 7):
        fails(f"{count} latents", small_model.decode, (z + z)[:count], GOOD)
