"""16 bits: bins of width 1/256 on the scale of 8 bits, in float64, away from the start."""

from __future__ import annotations

import math

import helpers
import numpy as np
import pytest
import torch

from caflow_cli.config import FlowConfig
from caflow_cli.errors import CaflowError
from caflow_cli.flows import Anchor, FilledPixels, KnownImage, KnownLuminance, KnownPixels
from caflow_cli.guides import recover_small
from caflow_cli.layers import center, to_stored
from caflow_cli.model import CAFlow
from caflow_cli.tasks import resize

FINE = 1 / 256
MAPS = {
    "enlarged": (KnownImage, 3),
    "pixels": (KnownPixels, 4),
    "fill": (FilledPixels, 4),
    "luminance": (KnownLuminance, 1),
}


def points(*shape, seed=1):
    return 256 * torch.rand(shape, generator=helpers.generator(seed), dtype=torch.float64)


def condition_of(kind, seed=3):
    """A condition on the scale of 8 bits, with a hole if it has a mask."""
    channels = MAPS[kind][1]
    cond = points(1, channels, 4, 4, seed=seed)
    if channels == 4:
        cond[:, 3] = 0.5
        cond[:, 3, 1:3, :2] = 255.5
    return cond


@pytest.mark.parametrize("width", [1.0, FINE])
def test_known_luminance_of_float32_is_that_of_float64(width):
    """Each value's rounding is a hundredth of a bin of 16 bits; 128×128 of them are a nat."""
    v = (points(1, 3, 64, 64) / width).floor() * width
    y = (points(1, 1, 64, 64, seed=2) / width).floor() * width + width / 2
    v = (0.9 * y + 0.1 * v).mul(2**16).floor() / 2**16  # which float32 holds
    exact, _ = KnownLuminance()(v, y, width)
    found, _ = KnownLuminance()(v.float(), y.float(), width)
    torch.testing.assert_close(found[:, 1].double(), exact[:, 1], rtol=1e-7, atol=0)


def test_values_and_bins():
    w = torch.arange(65536).view(1, 1, 256, 256)
    y = (w + 0.5) * FINE
    assert y.dtype == torch.float32
    for noise in (0.0, 0.5, 255 / 256):
        v = (w + noise) * FINE
        assert torch.equal(to_stored(v, FINE).long(), w)
        assert torch.equal(center(v, FINE), y)
    beyond = torch.tensor([-3.0, 256.0, 300.0])
    assert to_stored(beyond, FINE).tolist() == [0, 65535, 65535]
    eight = torch.tensor([0.0, 0.99, 3.5, 255.99])
    assert torch.equal(center(eight, 1), eight.floor() + 0.5)


@pytest.mark.parametrize("kind", MAPS)
@pytest.mark.parametrize("width", [1.0, FINE])
def test_maps_invert_and_their_logdet_is_autograds_but_for_known_values(kind, width):
    """Measured in bins, a known value has no log-determinant; of the gray, that of green."""
    build, _ = MAPS[kind]
    known = build()
    cond = condition_of(kind)
    cond = known.complete(cond, width)
    v = points(1, 3, 4, 4)
    h, logdet = known(v, cond, width)
    back, inverse = known.inverse(h, cond, width)
    torch.testing.assert_close(back, v)
    torch.testing.assert_close(inverse, -logdet)
    jacobian = helpers.jacobian(lambda x: known(x, cond, width)[0], v)[0, :, 0]
    unknown = known.unknown(cond, 1)
    count = 0 if unknown is True else int((~unknown.expand(1, 3, 4, 4)).sum())
    expected = torch.linalg.slogdet(jacobian)[1] + count * math.log(width)
    torch.testing.assert_close(logdet[0], expected)
    assert kind == "enlarged" or count


@pytest.mark.parametrize("kind", ["pixels", "fill", "luminance"])
def test_a_known_value_costs_the_same_nats_at_both_depths(kind):
    """The same noise, in bins, around the same centers: residuals and what flows see are equal."""
    u = torch.rand(1, 3, 4, 4, generator=helpers.generator(5), dtype=torch.float64)
    found = []
    for width in (1.0, FINE):
        anchor = helpers.seeded(
            lambda: Anchor(FlowConfig(scales=1, cond_channels=MAPS[kind][1], anchor=kind)), 1
        ).double()
        w = torch.full((1, 3, 4, 4), 100.0 / width, dtype=torch.float64)
        v = (w + u) * width
        cond = condition_of(kind) * 0 + (w[:, :1] + 0.5) * width
        if MAPS[kind][1] == 4:
            cond[:, 3] = 0.5
            cond[:, 3, 1:3, :2] = 255.5
        read = anchor.read(cond, width=width)
        h, _ = anchor(v, read)
        unknown = anchor.map.unknown(read.y, 1).expand(1, 3, 4, 4)
        found.append(h[~unknown])
    torch.testing.assert_close(found[0], found[1])
    assert found[0].abs().max() <= 0.6


@pytest.mark.parametrize("kind", [*MAPS, "none"])
def test_the_density_of_16_bits_is_that_of_points(kind):
    """log_prob is the mean over its noise of the density of `(w + u) / 256`."""
    channels = MAPS[kind][1] if kind in MAPS else 3
    config = helpers.small_config(scales=1, anchor=kind, cond_channels=channels)
    model = helpers.data_like_model(config, seed=4, size=16).double().eval()
    target = torch.randint(65536, (2, 3, 16, 16), generator=helpers.generator(2)).to(torch.uint16)
    cond = torch.randint(65536, (2, channels, 16, 16), generator=helpers.generator(3))
    if channels == 4:
        cond[:, 3] = 0
        cond[:, 3, 4:9, 3:12] = 255
    if kind in ("pixels", "fill"):
        cond[:, :3] = torch.where(cond[:, 3:] == 255, cond[:, :3], target.long())
    cond = cond.to(torch.uint16)
    read = model.encode_condition(cond)
    assert read.width == FINE
    if channels == 4:
        hole = cond[:, 3] == 255
        y = model._pixels(cond, "condition")
        assert y[:, 0][hole].unique().tolist() == [128.5]
        assert y[:, 3].unique().tolist() == [0.5, 255.5]
    u = (helpers.first_noise((3, 16, 16), 3).double() * 256).floor() / 256
    with torch.no_grad():
        expected = torch.stack([model.density((target.double() + n) / 256, read)[1] for n in u])
    torch.testing.assert_close(model.log_prob_samples(target, cond, 3), expected)
    z, log_prob = model.encode(target, cond)
    back, inverse = model.decode(z, cond)
    assert torch.equal(to_stored(back, FINE), target)
    torch.testing.assert_close(log_prob, inverse)


def test_depths_of_condition_and_target_must_agree(small_model):
    target, cond = helpers.image_pair(small_model, 1, 32)
    with pytest.raises(CaflowError, match="another depth"):
        small_model.log_prob(target.to(torch.int32).mul(257).to(torch.uint16), cond)


def test_a_model_that_learned_its_noise_takes_8_bits_only():
    model = CAFlow(helpers.small_config(scales=1, dequantization="variational")).eval()
    cond = torch.zeros(1, 3, 16, 16, dtype=torch.uint16)
    with pytest.raises(CaflowError, match="variational") as caught:
        model.log_prob(cond, cond)
    assert "8 bits" in caught.value.hint


@pytest.mark.parametrize(("factor", "share"), [(2, 0.98), (4, 0.99)])
def test_the_small_image_comes_back_on_the_grid_of_16_bits(factor, share):
    rng = np.random.default_rng(0)
    coarse = rng.integers(20000, 45000, (13, 17, 3)).astype(np.float32)
    small = np.rint(resize(coarse, 96, 128)).astype(np.uint16)
    large = resize(small, 96 * factor, 128 * factor)
    y = (torch.from_numpy(large).permute(2, 0, 1)[None].double() + 0.5) * FINE
    found = (recover_small(y, factor, FINE) + 0.5) / FINE - 0.5
    apart = (found - torch.from_numpy(small).permute(2, 0, 1)[None].double()).abs()
    assert torch.equal(found, found.round())
    assert (apart == 0).double().mean() > 0.85
    assert (
        apart[..., 8:-8, 8:-8] == 0
    ).double().mean() > share  # the border was enlarged otherwise
    raised = recover_small(y + 64 * FINE, factor, FINE)
    rise = (raised - recover_small(y, factor, FINE)) / FINE
    assert (rise - 64).abs().max() <= 1


@pytest.mark.parametrize("factor", [2, 4])
def test_the_small_image_comes_back_where_its_enlargement_was_clipped(factor):
    coarse = np.random.default_rng(4).integers(-30000, 95000, (12, 16, 3)).astype(np.float32)
    small = np.rint(resize(coarse, 48, 64)).clip(0, 65535).astype(np.uint16)
    assert 0.3 < ((small == 0) | (small == 65535)).mean() < 0.5
    y = torch.from_numpy(resize(small, 48 * factor, 64 * factor)).permute(2, 0, 1)[None].double()
    found = (recover_small((y + 0.5) * FINE, factor, FINE) + 0.5) / FINE - 0.5
    apart = (found - torch.from_numpy(small).permute(2, 0, 1)[None].double()).abs()
    assert (apart == 0).double().mean() > 0.85
    assert (apart <= 16).double().mean() > 0.95


def test_a_white_and_a_black_image_are_predicted_within_their_last_bins():
    flow = FlowConfig(anchor="enlarged", guide=6, guide_net="compact", guide_blocks=2)
    anchor = helpers.seeded(lambda: Anchor(flow), 1).double()
    for w in (0, 65535):
        y = torch.full((1, 3, 32, 32), (w + 0.5) * FINE, dtype=torch.float64)
        image = anchor.predict(anchor.read(y, width=FINE))
        assert ((image - y).abs() <= 16 * FINE).all()
