"""Temperatures: read, written, and resolved to one value per latent."""

from __future__ import annotations

import helpers
import pytest
import torch

from caflow_cli.config import Config, FlowConfig, TaskConfig, Temperature
from caflow_cli.errors import CaflowError
from caflow_cli.model import CAFlow
from caflow_cli.records import parse

THREE = (0, 1, 2, 1, 2, 2)  # the scales of z_2^2, z_1^2, z_0^2, z_1^1, z_0^1, z_0^0


@pytest.mark.parametrize(
    ("given", "values", "text"),
    [
        (0.5, (0.5,), "0.5"),
        (1, (1.0,), "1"),
        ("0.9/0.7/0.5", (0.9, 0.7, 0.5), "0.9/0.7/0.5"),
        ([0.9, 0], (0.9, 0.0), "0.9/0"),
        (0.123456789, (0.123456789,), "0.123456789"),
    ],
)
def test_text_and_numbers(given, values, text):
    tau = Temperature.of(given)
    assert (tau.values, str(tau)) == (values, text)
    assert Temperature.of(text) == tau == Temperature.of(tau) == Temperature.of(tau.as_json())
    assert len({Temperature.of(text), tau}) == 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("warm", "tau is 'warm'"),
        ("0.5/", "tau is '0.5/'"),
        ("0.5,0.7", "tau is '0.5,0.7'"),
        ("0.5/-1", "tau is -1.0"),
        ("nan", "tau is nan"),
        (float("inf"), "tau is inf"),
        ([0.5, None], "tau is [0.5, None]"),
        ([], "tau is []"),
    ],
)
def test_what_is_none_is_refused(given, message):
    with pytest.raises(CaflowError) as caught:
        Temperature.of(given)
    assert (caught.value.message, caught.value.exit_code) == (message, 2)
    assert "--tau 0.5" in caught.value.hint


def test_a_shape_is_by_scale_or_by_latent():
    assert Temperature.of(0.5).of_latents(THREE) == (0.5,) * 6
    assert Temperature.of("3/2/1").of_latents(THREE) == (3, 2, 1, 2, 1, 1)
    assert Temperature.of("1/2/3/4/5/6").of_latents(THREE) == (1, 2, 3, 4, 5, 6)
    with pytest.raises(CaflowError, match=r"tau 0\.9/0\.5 has 2 values") as caught:
        Temperature.of("0.9/0.5").of_latents(THREE)
    assert caught.value.hint.startswith("--tau with 1, 3 (one per scale, finest first) or 6 (one")
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("conditional", ["caflow", "shared", "dual-glow"])
@pytest.mark.parametrize("scales", [1, 3])
def test_a_config_knows_the_scales_of_its_models_latents(conditional, scales):
    model = CAFlow(Config(helpers.sizes(scales, conditional=conditional)))
    heights = [height for _, height, _ in model.latent_shapes((32, 32))]
    finest = max(heights)
    assert [finest >> scale for scale in model.config.flow.latent_scales] == heights


def test_a_model_s_default_may_be_a_shape():
    config = parse(Config, {"task": {"tau": [0.9, 0.7, 0.5]}})
    assert config.task.tau == (0.9, 0.7, 0.5)
    assert parse(Config, config.to_dict()) == config
    with pytest.raises(CaflowError, match="has 2 values"):
        Config(FlowConfig(), TaskConfig(tau=(0.9, 0.7)))
    with pytest.raises(CaflowError, match="tau is"):
        TaskConfig(tau=(0.9, -0.7, 0.5))


@torch.no_grad()
def test_samples_are_decoded_from_latents_times_their_own_temperature():
    model = helpers.randomize(CAFlow(Config(helpers.sizes(3)))).double().eval()
    cond = helpers.smooth_image(1, 1, 32, 3)
    noise = model.latent_noise(7, (32, 32))
    shape = [0.9, 0.7, 0.5, 0.3, 0.2, 0.1]
    latents = [tau * z[None].double() for tau, z in zip(shape, noise, strict=True)]
    expected, _ = model.decode(latents, cond)
    torch.testing.assert_close(model.sample(cond, shape, 1, 7)[:, 0], expected)
    by_scale = model.sample(cond, "0.9/0.7/0.5", 1, 7)
    assert torch.equal(by_scale, model.sample(cond, [0.9, 0.7, 0.5, 0.7, 0.5, 0.5], 1, 7))
    # A shape of equal values draws what the number draws, bit for bit.
    assert torch.equal(model.sample(cond, [0.6] * 3, 2, 7), model.sample(cond, 0.6, 2, 7))
    with pytest.raises(CaflowError, match="has 2 values"):
        model.sample(cond, (0.9, 0.5))


def test_auto_has_no_value_until_one_is_chosen():
    auto = Temperature.of("auto")
    assert (auto.is_auto, str(auto), Temperature.of(auto)) == (True, "auto", auto)
    assert not Temperature.of(0).is_auto
    with pytest.raises(CaflowError, match="tau is auto, which is chosen from a field of rain"):
        auto.of_latents(THREE)
