"""The variants × the sizes that a model may have: round trips, shapes, one log p both ways."""

import helpers
import pytest
import torch

VARIANTS = ["caflow", "shared", "dual-glow"]
DEQUANTIZATIONS = ["uniform", "variational"]
# n: (target channels, condition channels, height, width), sides multiples of 2^(n+1)
SIZES = {
    1: [(3, 3, 8, 4), (1, 4, 4, 12), (3, 1, 12, 8)],
    2: [(3, 3, 8, 16), (1, 4, 24, 8), (3, 1, 16, 24)],
    3: [(3, 4, 16, 32), (1, 3, 48, 16), (1, 1, 32, 16)],
    4: [(3, 4, 32, 32), (1, 1, 64, 32)],
    5: [(1, 1, 64, 64)],
}
GRID = [
    pytest.param(kind, n, *size, id=f"{kind}-n{n}-{'-'.join(map(str, size))}")
    for kind in VARIANTS
    for n, sizes in SIZES.items()
    for size in sizes
]


def model_of(kind, scales, target_channels, cond_channels, size, dequantization="uniform"):
    config = helpers.small_config(
        scales=scales,
        target_channels=target_channels,
        cond_channels=cond_channels,
        conditional=kind,
        dequantization=dequantization,
        r_steps=1,
        t_steps=1,
        hidden=4,
        f_hidden=4,
    )
    return helpers.data_like_model(config, 10 * scales, size, batch=6).double()


@pytest.mark.parametrize(("kind", "scales", "target", "cond", "height", "width"), GRID)
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
    again, forward = model.encode(v, y)
    torch.testing.assert_close(again, z, rtol=0, atol=1e-8)
    torch.testing.assert_close(forward, log_prob, rtol=0, atol=1e-8)


@pytest.mark.parametrize("dequantization", DEQUANTIZATIONS)
@pytest.mark.parametrize("scales", [1, 3])
@pytest.mark.parametrize("kind", VARIANTS)
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
    terms = model.log_prob_samples(w, y, 2)
    assert not torch.equal(terms[0], terms[1])


@pytest.mark.parametrize("dequantization", DEQUANTIZATIONS)
@pytest.mark.parametrize("kind", VARIANTS)
def test_float32_scores_like_float64(kind, dequantization):
    config = helpers.small_config(conditional=kind, dequantization=dequantization)
    model = helpers.data_like_model(config, 4, 32)
    w, y = helpers.image_pair(model, 4, 32)
    error = (model.log_prob(w, y) - helpers.as_double(model).log_prob(w, y)).abs()
    assert float(error.max()) < 0.02
