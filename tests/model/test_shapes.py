"""Shapes: the table in docs/model.md, and the variants × the sizes that a model may have."""

import helpers
import pytest
import torch

from caflow_cli.config import Config
from caflow_cli.model import CAFlow

L = {2: (6, 32, 32), 1: (12, 16, 16), 0: (48, 8, 8)}
# f_j^i: (x behind the squeeze, squeezed D_j, squeezed L_j)
FUNCTIONS = {
    (2, 2): ((24, 16, 16), (24, 16, 16), None),
    (1, 2): ((48, 8, 8), (48, 8, 8), (48, 8, 8)),
    (0, 2): ((96, 4, 4), (192, 4, 4), (192, 4, 4)),
    (1, 1): ((48, 8, 8), (48, 8, 8), None),
    (0, 1): ((96, 4, 4), (192, 4, 4), (192, 4, 4)),
    (0, 0): ((192, 4, 4), (192, 4, 4), None),
}
Z = [(12, 16, 16), (24, 8, 8), (96, 4, 4), (24, 8, 8), (96, 4, 4), (192, 4, 4)]


def sizes(tensors):
    return [tuple(t.shape[1:]) for t in tensors]


def test_the_table_of_the_design():
    model = CAFlow(Config()).eval()
    seen = {}

    def keep(key):
        return lambda module, args: seen.update({key: tuple(args[0].shape[1:])})

    for i, flow in enumerate(model.density.F):
        assert len(flow.functions) == i + 1
        for j, function in enumerate(flow.functions):
            function.steps[0].register_forward_pre_hook(keep((j, i, "x")))
            function.steps[-1].register_forward_pre_hook(keep((j, i, "last x")))
            function.embed_d.register_forward_pre_hook(keep((j, i, "d")))
            if function.embed_l is not None:
                function.embed_l.register_forward_pre_hook(keep((j, i, "l")))
    outputs = {}
    for name in ("R", "T"):
        getattr(model.density, name).register_forward_hook(
            lambda module, args, output, name=name: outputs.update({name: output[0]})
        )
    target, cond = helpers.image_pair(model, 1, 64)
    model(target + 0.5, cond + 0.5)  # by the modules themselves: `encode` folds them
    z, _ = model.encode(target, cond)

    assert sizes(outputs["R"]) == sizes(outputs["T"]) == [L[0], L[1], L[2]]
    for (j, i), (x, d, l) in FUNCTIONS.items():
        assert seen[j, i, "x"] == seen[j, i, "last x"] == x
        assert seen[j, i, "d"] == d
        assert seen.get((j, i, "l")) == l
    assert {key[:2] for key in seen} == FUNCTIONS.keys()
    assert sizes(z) == Z == model.latent_shapes((64, 64))
    assert sum(t[0].numel() for t in z) == 12_288 == 3 * 64**2


# (target channels, condition channels, height, width) of n scales; multiples of 2^(n+1)
GRID = [
    (1, 3, 3, 8, 4),
    (1, 1, 4, 4, 12),
    (2, 3, 3, 8, 16),
    (2, 1, 4, 24, 8),
    (3, 3, 4, 16, 32),
    (4, 3, 4, 32, 32),
    (5, 1, 1, 64, 64),
]


def model_of(kind, scales, target_channels, cond_channels, size, dequantization="uniform"):
    config = helpers.small_config(
        scales=scales,
        target_channels=target_channels,
        cond_channels=cond_channels,
        conditional=kind,
        dequantization=dequantization,
        t_steps=1,
        hidden=4,
        f_hidden=4,
    )
    return helpers.data_like_model(config, 10 * scales, size, batch=6).double()


@pytest.mark.parametrize("kind", ["caflow", "shared", "dual-glow"])
@pytest.mark.parametrize(("scales", "target", "cond", "height", "width"), GRID)
def test_round_trip_shapes_and_log_prob(kind, scales, target, cond, height, width):
    size = (height, width)
    model = model_of(kind, scales, target, cond, size)
    w, y = helpers.image_pair(model, 2, size)
    z, log_prob = model.encode(w, y)
    assert [tuple(t.shape[1:]) for t in z] == model.latent_shapes(size)
    assert len(z) == (scales if kind == "dual-glow" else scales * (scales + 1) // 2)
    assert sum(t[0].numel() for t in z) == target * height * width
    v, back = model.decode(z, y)
    torch.testing.assert_close(v, w.double() + 0.5, rtol=0, atol=1e-8)
    torch.testing.assert_close(back, log_prob, rtol=0, atol=1e-8)
    # And from the latents' side, at points that are no image.
    z = [t + 0.5 * helpers.normal(t.shape, k) for k, t in enumerate(z)]
    v, log_prob = model.decode(z, y)
    torch.testing.assert_close(model.encode(v, y), (z, log_prob), rtol=0, atol=1e-8)


@pytest.mark.parametrize(
    ("kind", "scales", "dequantization"),
    [("caflow", 3, "uniform"), ("shared", 3, "variational"), ("dual-glow", 1, "variational")],
)
def test_scores_are_deterministic(kind, scales, dequantization):
    size = (2 ** (scales + 1), 2 ** (scales + 2))
    model = model_of(kind, scales, 3, 1, size, dequantization)
    w, y = helpers.image_pair(model, 3, size)
    first = model.log_prob(w, y, 2)
    assert first.isfinite().all()
    torch.rand(7)  # the global generator has no part in it
    state = torch.get_rng_state()
    again = model.log_prob(w, y, 2)
    assert torch.equal(again, first)
    assert torch.equal(torch.get_rng_state(), state)
    assert not again.requires_grad
    # Nor have the other images of the batch.
    torch.testing.assert_close(model.log_prob(w[1:2], y[1:2], 2), first[1:2], rtol=0, atol=1e-8)
