"""Attribution maps: they hold all of the score, where it arises."""

from __future__ import annotations

import helpers
import pytest
import torch

from caflow_cli.inference.maps import log_prob_map

VARIANTS = [
    {},
    {"conditional": "shared", "trunk": 6},
    {"conditional": "dual-glow"},
    {"dequantization": "variational"},
]


@pytest.mark.parametrize(
    "flow", VARIANTS, ids=lambda flow: "-".join(map(str, flow.values())) or "caflow"
)
def test_a_map_sums_to_the_score(flow):
    config = helpers.small_config(**flow)
    model = helpers.as_double(helpers.data_like_model(config, seed=3, size=(32, 48)))
    target, cond = helpers.image_pair(model, 2, (32, 48))
    field = log_prob_map(model, target, cond)
    assert field.shape == (2, 32, 48)
    expected = model.log_prob(target, cond)
    torch.testing.assert_close(field.sum((1, 2)), expected, rtol=0, atol=1e-6)
    # Two candidates of one condition, as ranking scores them.
    shared = log_prob_map(model, target, cond[:1])
    torch.testing.assert_close(shared[0], field[0], rtol=0, atol=1e-9)


def test_a_change_shows_where_it_is(small_model64):
    target, cond = helpers.image_pair(small_model64, 1, (32, 192))
    changed = target.clone()
    changed[..., -16:] = 255 - changed[..., -16:]
    change = log_prob_map(small_model64, changed, cond) - log_prob_map(small_model64, target, cond)
    assert change[..., :32].abs().max() < 1e-9  # beyond the reach of all nets
    assert change[..., -16:].abs().sum() > change[..., :-16].abs().sum()
