"""Weight sharing (appendix D), against the flows that do not share."""

import helpers
import pytest
import torch

from caflow_cli.flows import Autoregressive, SharedAutoregressive
from caflow_cli.flows.multiscale import latent_channels
from caflow_cli.layers import ActNorm

BATCH = 2


def pyramid(scales, seed, batch=BATCH):
    side = 2 ** (scales + 1)
    return [
        helpers.normal(
            (batch, latent_channels(1, i, scales), *[side >> (scales - i)] * 2), seed + i
        )
        for i in range(scales)
    ]


def pair(scales):
    """A shared model, and one that does not share whose functions are copies of the shared."""
    sizes = helpers.sizes(scales)
    shared = helpers.randomise(SharedAutoregressive(sizes), 3).double().eval()
    plain = Autoregressive(sizes).double().eval()
    for i, flow in enumerate(plain):
        for j, function in enumerate(flow.functions):
            source = shared.own[i] if i == j else shared.shared[j]
            function.load_state_dict(source.state_dict())
    return shared, plain


@pytest.mark.parametrize("scales", [1, 2, 3, 4])
def test_sharing_is_the_plain_model_with_equal_weights(scales):
    shared, plain = pair(scales)
    l, d = pyramid(scales, 10), pyramid(scales, 20)
    cond, plain_cond = shared.read(d), plain.read(d)
    (z, logdet), (expected, expected_logdet) = shared(l, cond), plain(l, plain_cond)
    torch.testing.assert_close(z, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(logdet, expected_logdet, rtol=0, atol=1e-10)
    back, _ = shared.inverse(z, cond)
    torch.testing.assert_close(back, plain.inverse(z, plain_cond)[0], rtol=0, atol=1e-12)


@pytest.mark.parametrize("scales", [1, 2, 3, 4, 5])
def test_the_number_of_functions(scales):
    sizes = helpers.sizes(scales, f_hidden=4)
    plain, shared = Autoregressive(sizes), SharedAutoregressive(sizes)
    assert sum(len(flow.functions) for flow in plain) == scales * (scales + 1) // 2
    assert len(shared.own) + len(shared.shared) == 2 * scales - 1
    parameters = [sum(p.numel() for p in model.parameters()) for model in (plain, shared)]
    assert (parameters[1] < parameters[0]) == (scales > 2)


def test_a_shared_actnorm_initialises_on_all_of_its_uses():
    scales = 3
    model = SharedAutoregressive(helpers.sizes(scales)).double().train()
    seen = {}
    actnorm = model.shared[0].transitions[0].actnorm
    model.shared[0].transitions[0].register_forward_pre_hook(
        lambda module, args: seen.setdefault("x", args[0].clone())
    )
    model(pyramid(scales, 30, 6), model.read(pyramid(scales, 40, 6)))
    x = seen["x"]
    assert x.shape[0] == 2 * 6  # f_0 of F_1 and of F_2
    torch.testing.assert_close(actnorm.bias.detach(), -x.mean((0, 2, 3)))
    torch.testing.assert_close(
        actnorm.log_scale.detach(), -x.var((0, 2, 3), unbiased=False).log() / 2
    )
    assert all(m.initialized for m in model.modules() if isinstance(m, ActNorm))
