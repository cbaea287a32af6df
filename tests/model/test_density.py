"""The density of the whole model: two directions, a known base, an integral that is 1."""

import math

import helpers
import pytest
import torch

from caflow_cli.flows import standard_normal_log_prob
from caflow_cli.layers import to_stored

SIZE = 32


@pytest.mark.parametrize("fixture", ["small_model", "small_model64"])
def test_8_bit_images_come_back_exactly(fixture, request):
    model = request.getfixturevalue(fixture)
    target, cond = helpers.image_pair(model, 2, SIZE)
    # All values, the ends of the range among them.
    target[0, 0, :8, :] = torch.arange(256, dtype=torch.uint8).reshape(8, 32)
    z, _ = model.encode(target, cond)
    v, _ = model.decode(z, cond)
    assert torch.equal(to_stored(v, 1), target)


@torch.no_grad()
def test_log_p_of_the_condition_counts_the_predicted_image_that_r_reads():
    config = helpers.small_config(scales=2, guide=4, guide_net="unet")
    density = helpers.data_like_model(config, seed=6, size=16).double().density
    y = helpers.normal((2, 3, 16, 16), 5).mul(30).add(128)
    _, log_prob = density.condition(y)
    predicted = density.A.logit.nearest(density.A.predict(density.A.read(y)))
    (h, first), (g, second) = density.A.logit(y), density.A.logit(predicted)
    d, logdet = density.R(torch.cat([h, g], dim=1))
    normal = sum(standard_normal_log_prob(d_i) for d_i in d)
    torch.testing.assert_close(log_prob, first + second + logdet + normal)


@torch.no_grad()
@pytest.mark.parametrize("value", [-7.0, 263.0, 1e9, math.inf, math.nan])
def test_a_value_without_a_density_makes_that_of_its_image_zero(small_model, value):
    target, cond = helpers.image_pair(small_model, 3, SIZE)
    condition, v = small_model.encode_condition(cond), target + 0.5
    _, expected = small_model.density(v, condition)
    v[1, 0, 3, 4] = value
    _, found = small_model.density(v, condition)
    assert found[1] == -math.inf
    assert torch.equal(found[[0, 2]], expected[[0, 2]])
