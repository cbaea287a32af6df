"""The variants × the sizes that a model may have."""

import helpers
import pytest
import torch

# Scales n, target and condition channels, height and width: multiples of 2^(n+1).
GRID = [
    (1, 3, 3, 8, 4),
    (2, 1, 4, 24, 8),
    (3, 3, 4, 16, 32),
    (5, 1, 1, 64, 64),
]


@pytest.mark.parametrize("kind", ["caflow", "shared", "dual-glow"])
@pytest.mark.parametrize(("scales", "target", "cond", "height", "width"), GRID)
def test_round_trip_shapes_and_log_prob(kind, scales, target, cond, height, width):
    size = (height, width)
    channels = {"target_channels": target, "cond_channels": cond}
    small = {"t_steps": 1, "hidden": 4, "f_hidden": 4}
    config = helpers.small_config(scales=scales, conditional=kind, **channels, **small)
    model = helpers.data_like_model(config, 10 * scales, size, batch=6).double()
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
