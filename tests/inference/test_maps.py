"""Attribution maps: they hold all of the score, where it arises."""

from dataclasses import replace

import helpers
import numpy as np
import pytest
import torch

from caflow_cli.config import TaskConfig
from caflow_cli.flows import to_uint8
from caflow_cli.inference import attribution, log_prob_map, restore, score, task_of, to_batch

VARIANTS = [
    {},
    {"conditional": "shared", "trunk": 6},
    {"conditional": "dual-glow"},
    {"dequantization": "variational"},
    {"anchor": "pixels", "cond_channels": 4, "guide": 5},
    {"anchor": "fill", "cond_channels": 4, "guide": 5},
    {"anchor": "luminance", "cond_channels": 1, "guide": 8, "guide_net": "unet"},
    {"anchor": "luminance", "cond_channels": 1},
]


@pytest.mark.parametrize(
    "flow", VARIANTS, ids=lambda flow: "-".join(map(str, flow.values())) or "caflow"
)
def test_a_map_sums_to_the_score(flow):
    config = helpers.small_config(**flow)
    model = helpers.data_like_model(config, seed=3, size=(32, 48)).double()
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


def test_an_attribution_compares_with_samples_of_the_same_condition(small_model):
    image = helpers.smooth_image(1, 3, 8, seed=1)[0].permute(1, 2, 0).contiguous().numpy()
    target = restore(small_model, image, 1.0, 1, seed=3).kept[0].image.copy()
    target[8:16, 8:16] = 255 - target[8:16, 8:16]
    found = attribution(small_model, image, target)
    expected = score(small_model, image, target).log_likelihood
    assert found.nats.sum() == pytest.approx(expected, abs=1e-2)
    assert found.z.shape == (8, 8)
    assert np.array_equal(found.target, target)
    # By hand: the same cells of each sample, one at a time.
    encoding = small_model.encode_condition(to_batch([task_of(small_model).condition(image)]))
    drawn = [to_uint8(small_model.sample(encoding, 1.0, 1, 2**31 + k)[0]) for k in range(32)]
    sampled = np.stack([log_prob_map(small_model, w, encoding)[0].numpy() for w in drawn])
    cells = sampled.reshape(32, 8, 4, 8, 4).sum((2, 4))
    own = found.nats.reshape(8, 4, 8, 4).sum((1, 3))
    z = (own - cells.mean(0)) / cells.std(0, ddof=1)
    np.testing.assert_allclose(found.z, z, rtol=1e-2, atol=1e-2)
    changed = np.zeros((8, 8), bool)
    changed[2:4, 2:4] = True
    assert found.z[changed].mean() < found.z[~changed].mean() - 3


INPAINT = {"anchor": "pixels", "cond_channels": 4}
COLORIZE = {"anchor": "luminance", "cond_channels": 1}


@pytest.mark.parametrize(
    ("task", "flow", "size"),
    [
        ("inpaint", INPAINT, (60, 50)),  # shrunk
        ("colorize", COLORIZE, (44, 32)),  # padded
    ],
)
def test_the_samples_of_an_attribution_are_composed_as_candidates_are(task, flow, size):
    """Raw samples deviate from the condition by a level at some pixels, which costs thousands of
    nats: compared with them, the model's own candidates would look far too likely."""
    config = replace(helpers.small_config(**flow), task=TaskConfig(task, size=32))
    model = helpers.data_like_model(config, seed=3, size=32)
    image = helpers.smooth_image(1, 3, size, seed=5)[0].permute(1, 2, 0).contiguous().numpy()
    mask = None
    if task == "inpaint":
        mask = np.zeros(size, np.uint8)
        mask[8:28, 10:26] = 255
    seeds = range(2**31, 2**31 + 3)
    drawn = [restore(model, image, 1.0, 1, seed=k, mask=mask).kept[0] for k in seeds]
    found = [attribution(model, image, one.image, mask, samples=3) for one in drawn]
    for one, own in zip(found, drawn, strict=True):
        assert one.nats.sum() == pytest.approx(own.score.log_likelihood, abs=1e-2)
    # The three are the samples themselves: their z-scores have mean 0 and deviation 1 everywhere.
    z = np.stack([one.z for one in found])
    np.testing.assert_allclose(z.mean(0), 0, atol=1e-2)
    np.testing.assert_allclose(z.std(0, ddof=1), 1, atol=1e-2)
