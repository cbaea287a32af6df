"""Every invertible module against the definition: its inverse undoes it, and its log-determinants
are those of its Jacobians."""

import inspect
import itertools
from typing import Any, NamedTuple

import helpers
import pytest
import torch
from helpers import normal
from torch import nn

import caflow_cli.flows
import caflow_cli.layers
from caflow_cli.config import Config, FlowConfig
from caflow_cli.flows import (
    Anchor,
    AnchorCondition,
    Autoregressive,
    ConditionalFlow,
    ConditionalGaussian,
    ConditionalScale,
    ConditionalStep,
    DualGlow,
    FilledPixels,
    KnownImage,
    KnownLuminance,
    KnownPixels,
    Logit,
    MultiScaleFlow,
    Scale,
    SharedAutoregressive,
    Step,
    VariationalNoise,
    standard_normal_log_prob,
)
from caflow_cli.flows.scale import latent_channels
from caflow_cli.layers import (
    ChannelAffine,
    Coupling,
    FoldedAffine,
    Injector,
    Squeeze,
)
from caflow_cli.model import CAFlow, Condition

BATCH, HIDDEN, BOUND = 2, 6, 2.0
SIZES = helpers.sizes(1, f_hidden=HIDDEN, scale_bound=BOUND)


class CAFlowMap(nn.Module):
    """w -> all z of equation 9, without the prior: `CAFlow` as one layer."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def _given(self, d):
        return Condition(d, AnchorCondition(None, None), self.model.density.F.read(d))

    def forward(self, x, cond):
        z, log_prob = self.model.density(x, self._given(cond))
        return z, log_prob - sum(standard_normal_log_prob(z_j) for z_j in z)

    def inverse(self, y, cond):
        x, log_prob = self.model.density.inverse(y, self._given(cond))
        return x, sum(standard_normal_log_prob(z_j) for z_j in y) - log_prob


class Under(nn.Module):
    """A layer under what `read(layer, cond)` makes of a condition."""

    def __init__(self, layer, read):
        super().__init__()
        self.layer, self.read = layer, read

    def forward(self, x, cond):
        return self.layer(x, self.read(self.layer, cond))

    def inverse(self, y, cond):
        return self.layer.inverse(y, self.read(self.layer, cond))


def with_features(layer):
    """Under the features that its own nets begin with."""
    return Under(layer, lambda layer, features: layer.read(*features))


def with_read(scale):
    """Under D and L."""
    return Under(scale, lambda scale, cond: scale.read(cond[0]).with_latent(cond[1]))


def all_read(flow, cond):
    """Of F_i: all D, and all L below."""
    d, l = cond
    return [c.with_latent(l_j) for c, l_j in zip(flow.read(d), [*l, None], strict=False)]


class Levels(nn.Module):
    """[L_0, ...] under [D_0, ...] -> all z_j^i as one list: all of F as one layer."""

    def __init__(self, conditional):
        super().__init__()
        self.conditional = conditional

    def forward(self, x, cond):
        z, logdet = self.conditional(x, self.conditional.read(cond))
        return [z_j for z_i in z for z_j in z_i], logdet

    def inverse(self, y, cond):
        queue = list(y)
        z = [[queue.pop(0) for _ in z_i] for z_i in self.conditional.layout]
        return self.conditional.inverse(z, self.conditional.read(cond))


class Case(NamedTuple):
    build: Any  # () -> module
    x: torch.Tensor
    cond: Any = None
    shape: Any = None  # of the output, (C, H, W) or a list of them; None: that of x


SEEDS = itertools.count(1)


def some(*shape, batch=BATCH):
    """Standard normal values for each image, under a seed of their own."""
    return normal((batch, *shape), next(SEEDS))


def one(*shape):
    """The same for the candidates of one image."""
    return some(*shape, batch=1)


def pixels(*shape, batch=BATCH, seed=None):
    generator = helpers.generator(seed or next(SEEDS))
    return 256 * torch.rand((batch, *shape), generator=generator, dtype=torch.float64)


def pyramid(scales, side, batch=BATCH):
    """[L_0, ..., L_{n-1}], as T makes them of images of one channel and that side."""
    return [
        some(latent_channels(1, i, scales), *[side >> (scales - i)] * 2, batch=batch)
        for i in range(scales)
    ]


def function(i, j, batch_of_d=BATCH, **flow):
    """f_j^i between one-channel images with two scales."""
    sizes = helpers.sizes(2, f_steps=2, **flow)
    x_channels = latent_channels(1, i, 2) * 2 ** (i - j)
    channels = latent_channels(1, j, 2)
    d = some(channels, 4, 4, batch=batch_of_d)
    return Case(
        lambda: with_read(ConditionalScale(i, j, sizes)),
        some(x_channels, 4, 4),
        (d, some(channels, 4, 4) if j < i else None),
        (4 * x_channels, 2, 2),
    )


def conditional_flow(index, scales, batch_of_d=BATCH, trunks=0):
    """F_i between one-channel images with 2^(n+1) pixels a side: the smallest."""
    side, sizes = 2 ** (scales + 1), helpers.sizes(scales, trunk=trunks, trunk_blocks=2)
    l, d = pyramid(scales, side), pyramid(scales, side, batch_of_d)
    shapes = []
    for j in range(index + 1):
        # f_j^i sees 4 C 2^(n-i) 2^(i-j) channels and passes half of them on, but for j = 0.
        channels = 4 * latent_channels(1, index, scales) * 2 ** (index - j) // (2 if j else 1)
        shapes.append((channels, *[side >> (scales - j + 1)] * 2))
    return Case(
        lambda: Under(ConditionalFlow(index, sizes), all_read), l[index], (d, l[:index]), shapes
    )


def levels(kind, scales, batch_of_d=BATCH):
    side, sizes = 2 ** (scales + 1), helpers.sizes(scales)
    shapes = [(c, side >> h, side >> h) for z_i in kind(sizes).layout for c, h in z_i]
    l, d = pyramid(scales, side), pyramid(scales, side, batch_of_d)
    return Case(lambda: Levels(kind(sizes)), l, d, shapes)


def caflow(scales, conditional="caflow", **flow):
    sizes = helpers.sizes(scales, conditional=conditional, r_steps=1, t_steps=1, **flow)
    config, side = Config(sizes), 2 ** (scales + 1)
    shapes = CAFlow(config).latent_shapes((side, side))
    return Case(
        lambda: CAFlowMap(CAFlow(config)), pixels(1, side, side), pyramid(scales, side), shapes
    )


def folded_affine():
    """Two maps in one; it has no parameters to randomize later."""
    maps = [helpers.randomize(ChannelAffine(4), seed).double() for seed in (5, 6)]
    return FoldedAffine(maps)


def anchored(kind, y, *mean_and_spread):
    """With values of a guide and a spread, and candidates of one image."""
    flow = FlowConfig(anchor=kind, cond_channels=y.shape[1], scale_bound=BOUND)
    given = AnchorCondition(y, *mean_and_spread)
    return Case(lambda: Anchor(flow), pixels(3, 4, 4), given)


HOLED = helpers.with_hole(pixels(3, 4, 4, batch=1).to(torch.uint8)) + 0.3
FILLED = FilledPixels().complete(HOLED.double())
SQUEEZED = (8, 2, 3)  # a scale's output for x (2, 4, 6)

CASES = {
    "Anchor/guide": Case(
        lambda: Anchor(helpers.sizes(1, cond_channels=2, guide=(3, 4), guide_net="unet")),
        pixels(1, 4, 6),
        AnchorCondition(pixels(2, 4, 6), some(1, 4, 6)),
    ),
    "Anchor/pixels, mean": anchored("pixels", HOLED, one(3, 4, 4)),
    "Anchor/enlarged, mean": anchored("enlarged", pixels(3, 4, 4), one(3, 4, 4)),
    "Anchor/pixels, mean and spread": anchored("pixels", HOLED, one(3, 4, 4), one(3, 4, 4)),
    "Anchor/fill, mean and spread": anchored("fill", FILLED, one(3, 4, 4), one(3, 4, 4)),
    "KnownImage": Case(KnownImage, pixels(1, 4, 4), pixels(1, 4, 4, batch=1)),
    "KnownPixels": Case(KnownPixels, pixels(3, 4, 4), HOLED),
    "FilledPixels": Case(FilledPixels, pixels(3, 4, 4), FILLED),
    "KnownLuminance": Case(lambda: KnownLuminance(0.1), pixels(3, 3, 4), pixels(1, 3, 4, batch=1)),
    "ChannelAffine": Case(lambda: ChannelAffine(4), some(4, 3, 2)),
    "FoldedAffine": Case(folded_affine, some(4, 3, 2)),
    "Squeeze": Case(Squeeze, some(2, 4, 6), None, SQUEEZED),
    "Coupling": Case(lambda: Coupling(4, HIDDEN, BOUND), some(4, 3, 4)),
    "Coupling/cond": Case(lambda: Coupling(4, HIDDEN, BOUND), some(4, 3, 4), some(HIDDEN, 3, 4)),
    "Coupling/candidates": Case(
        lambda: Coupling(4, HIDDEN, BOUND), some(4, 3, 4), one(HIDDEN, 3, 4)
    ),
    "Injector": Case(
        lambda: with_features(Injector(4, HIDDEN, BOUND)), some(4, 3, 4), (some(HIDDEN, 3, 4),)
    ),
    "Injector/candidates": Case(
        lambda: with_features(Injector(4, HIDDEN, BOUND)), some(4, 3, 4), (one(HIDDEN, 3, 4),)
    ),
    "Step": Case(lambda: Step(0, 4, SIZES), some(4, 4, 4)),
    "ConditionalStep": Case(
        lambda: with_features(ConditionalStep(4, SIZES)),
        some(4, 4, 3),
        (some(HIDDEN, 4, 3), some(HIDDEN, 4, 3)),
    ),
    "ConditionalStep/candidates": Case(
        lambda: with_features(ConditionalStep(4, SIZES)),
        some(4, 4, 3),
        (one(HIDDEN, 4, 3), one(HIDDEN, 4, 3)),
    ),
    "Scale": Case(lambda: Scale(0, 8, 2, SIZES), some(2, 4, 6), None, SQUEEZED),
    "Scale/no steps": Case(lambda: Scale(0, 8, 0, SIZES), some(2, 4, 6), None, SQUEEZED),
    "ConditionalScale": function(1, 1),
    "ConditionalScale/L": function(1, 0),
    "ConditionalScale/L, candidates": function(1, 0, batch_of_d=1),
    "ConditionalScale/L, trunk, candidates": function(1, 0, batch_of_d=1, trunk=5, trunk_blocks=2),
    "MultiScaleFlow/1": Case(lambda: MultiScaleFlow(1, 2, SIZES), some(1, 4, 6), None, [(4, 2, 3)]),
    "MultiScaleFlow/3": Case(
        lambda: MultiScaleFlow(1, 1, FlowConfig(hidden=(HIDDEN, 4, 5))),
        some(1, 8, 8),
        None,
        [(16, 1, 1), (4, 2, 2), (2, 4, 4)],
    ),
    "ConditionalFlow/0 of 3": conditional_flow(0, 3),
    "ConditionalFlow/1 of 3": conditional_flow(1, 3),
    "ConditionalFlow/2 of 3": conditional_flow(2, 3),
    "ConditionalFlow/1 of 2, candidates": conditional_flow(1, 2, batch_of_d=1),
    "ConditionalFlow/2 of 3, trunk": conditional_flow(2, 3, trunks=(7, 5, 6)),
    "Autoregressive/2": levels(Autoregressive, 2),
    "Autoregressive/3, candidates": levels(Autoregressive, 3, batch_of_d=1),
    "SharedAutoregressive/1": levels(SharedAutoregressive, 1),
    "SharedAutoregressive/3": levels(SharedAutoregressive, 3),
    "SharedAutoregressive/3, candidates": levels(SharedAutoregressive, 3, batch_of_d=1),
    "ConditionalGaussian": Case(
        lambda: with_features(ConditionalGaussian(0, SIZES)),
        some(4, 3, 4),
        ([some(4, 3, 4)],),
        [(4, 3, 4)],
    ),
    "DualGlow/3": levels(DualGlow, 3),
    "DualGlow/2, candidates": levels(DualGlow, 2, batch_of_d=1),
    "VariationalNoise": Case(  # in other places its noise may saturate the sigmoid
        lambda: VariationalNoise(SIZES),
        normal((BATCH, 1, 4, 6), 32),
        pixels(1, 4, 6, seed=33).floor(),
    ),
    "Logit": Case(Logit, pixels(2, 3, 3)),
    "Logit/0.2": Case(lambda: Logit(0.2, 1.0), pixels(2, 3, 3) / 256),
    "CAFlow/1": caflow(1),
    "CAFlow/2": caflow(2),
    "CAFlow/2, shared": caflow(2, "shared"),
    "CAFlow/2, dual-glow": caflow(2, "dual-glow"),
}
NOT_INVERTIBLE = {
    "ActNorm",  # a part of `ChannelAffine`, as is
    "FieldAnchor",  # its walk, over wet and dry cells, is in tests/flows/test_field.py
    "FieldCondition",
    "Marginals",
    "AnchorCondition",
    "AffineMap",
    "Conv",
    "ConvNet",
    "FixedConv",
    "InvConv1x1",
    "Levels",  # scales of values have no latents
    "Modules",
    "ScaleCondition",
    "StepCondition",
    "Trunk",
    "ValueScale",
}

every_case = pytest.mark.parametrize("name", CASES)


def build(name):
    case = CASES[name]
    module = helpers.randomize(helpers.seeded(case.build, 1), seed=2)
    return module.double().eval(), case.x, case.cond


@pytest.mark.parametrize("package", [caflow_cli.layers, caflow_cli.flows])
def test_the_walk_has_every_exported_layer_and_flow(package):
    classes = {name for name in package.__all__ if inspect.isclass(getattr(package, name))}
    assert classes - NOT_INVERTIBLE == {
        name for name in classes if any(case.split("/")[0] == name for case in CASES)
    }


@every_case
@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
@torch.no_grad()
def test_shape_type_and_inverse(name, training):
    module, x, cond = build(name)
    module.train(training)
    y, logdet = module(x, cond)
    shapes = [tuple(t.shape[1:]) for t in helpers.tensors(y)]
    expected = CASES[name].shape or tuple(x.shape[1:])
    assert shapes == (expected if isinstance(expected, list) else [expected])
    # Not the identity, or all of this file would show nothing.
    assert not torch.allclose(helpers.flat(y), helpers.flat(x), atol=1e-2)

    back, logdet_back = module.inverse(y, cond)
    torch.testing.assert_close(
        back, x, rtol=0, atol=1e-10 * float(helpers.flat(x).abs().max().clamp(min=1))
    )
    for term in (logdet, logdet_back):
        assert term.shape == (BATCH,)
        assert term.dtype == torch.float64
    torch.testing.assert_close(logdet_back, -logdet, rtol=0, atol=1e-9)

    again, _ = module(back, cond)
    torch.testing.assert_close(again, y, rtol=0, atol=1e-9)


@every_case
@pytest.mark.parametrize("direction", ["forward", "inverse"])
def test_logdet_is_that_of_the_jacobian(name, direction):
    module, x, cond = build(name)
    module.requires_grad_(False)
    function = module.forward if direction == "forward" else module.inverse
    start = x if direction == "forward" else module(x, cond)[0]
    logdet = function(start, cond)[1]
    for b in range(BATCH):
        jacobian = helpers.jacobian_of_image(function, start, cond, b)
        expected = torch.linalg.slogdet(jacobian).logabsdet
        torch.testing.assert_close(logdet[b], expected, rtol=0, atol=1e-8)
        touched = helpers.touched(function, start, cond, b)
        assert touched == [k == b for k in range(BATCH)], "images of a batch touch each other"


@pytest.mark.parametrize("name", ["Coupling/cond", "ConditionalScale/L, candidates", "CAFlow/1"])
def test_one_pass_has_the_jacobian_of_autograd(name):
    module, x, cond = build(name)
    expected = helpers.jacobian(lambda value: module(value, cond)[0], x)
    for b in range(BATCH):
        found = helpers.jacobian_of_image(module, x, cond, b)
        torch.testing.assert_close(found, expected[b, :, b], rtol=0, atol=1e-10)


def as_float(value):
    if isinstance(value, list | tuple):
        return getattr(value, "_make", type(value))([as_float(v) for v in value])
    return value.float() if isinstance(value, torch.Tensor) else value


# What is folded keeps the type that it was folded in.
@pytest.mark.parametrize("name", [name for name in CASES if name != "FoldedAffine"])
@torch.no_grad()
def test_float32_logdet_is_summed_in_float64(name):
    module, x, cond = build(name)
    _, logdet = module(x, cond)
    small, logdet_small = module.float()(as_float(x), as_float(cond))
    assert all(t.dtype == torch.float32 for t in helpers.tensors(small))
    assert logdet_small.dtype == torch.float64
    torch.testing.assert_close(logdet_small, logdet, rtol=1e-5, atol=1e-3)
    assert module.inverse(small, as_float(cond))[1].dtype == torch.float64


def test_the_walk_reaches_every_parameter():
    """Nothing of a model is left at the identity by `randomize`, nor unused by its density."""
    case = CASES["CAFlow/2"]
    model = helpers.randomize(helpers.seeded(case.build, 1), seed=2).double().model
    cond = pixels(*case.x.shape[1:])
    terms = model(case.x, cond)
    (terms.log_prob + terms.cond_log_prob).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.detach().any(), name
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name
