"""Every invertible module against the definition: its inverse undoes it, and its log-determinants
are those of its Jacobians."""

import inspect
from typing import Any, NamedTuple

import helpers
import pytest
import torch
from helpers import normal
from torch import nn

import caflow_cli.flows
import caflow_cli.layers
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
from caflow_cli.flows.multiscale import latent_channels
from caflow_cli.layers import (
    ChannelAffine,
    Coupling,
    FoldedAffine,
    Guide,
    Injector,
    Squeeze,
)
from caflow_cli.model import CAFlow, Condition

BATCH, HIDDEN, BOUND = 2, 6, 2.0


class CAFlowMap(nn.Module):
    """w -> all z of equation 9, without the prior: `CAFlow` as one layer."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def given(self, d):
        return Condition(d, AnchorCondition(None, None), self.model.density.F.read(d))

    def forward(self, x, cond):
        z, log_prob = self.model.density(x, self.given(cond))
        return z, log_prob - sum(standard_normal_log_prob(z_j) for z_j in z)

    def inverse(self, y, cond):
        x, log_prob = self.model.density.inverse(y, self.given(cond))
        return x, -(log_prob - sum(standard_normal_log_prob(z_j) for z_j in y))


class Read(nn.Module):
    """A conditional flow under D, and the L beside it, as they are: it reads them first."""

    def __init__(self, flow):
        super().__init__()
        self.flow = flow

    def given(self, cond):
        d, l = cond
        if isinstance(self.flow, ConditionalFlow):
            read = zip(self.flow.read(d), [*l, None], strict=False)
            return [c.with_latent(l_j) for c, l_j in read]
        return self.flow.read(d).with_latent(l)

    def forward(self, x, cond):
        return self.flow(x, self.given(cond))

    def inverse(self, y, cond):
        return self.flow.inverse(y, self.given(cond))


class ReadFeatures(nn.Module):
    """A layer under the features that its own nets begin with."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x, cond):
        return self.layer(x, self.layer.read(*cond))

    def inverse(self, y, cond):
        return self.layer.inverse(y, self.layer.read(*cond))


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


def pixels(shape, seed):
    return 256 * torch.rand(shape, generator=helpers.generator(seed), dtype=torch.float64)


def pyramid(channels, scales, side, seed, batch=BATCH):
    """[L_0, ..., L_{n-1}], as T makes them of images of that side."""
    return [
        normal(
            (batch, latent_channels(channels, i, scales), *[side // 2 ** (scales - i)] * 2),
            seed + i,
        )
        for i in range(scales)
    ]


def conditional_flow(index, scales, batch_of_d=BATCH, trunks=()):
    """F_i between one-channel images with 2^(n+1) pixels a side: the smallest."""
    side = 2 ** (scales + 1)
    l = pyramid(1, scales, side, 40)
    d = pyramid(1, scales, side, 50, batch_of_d)
    shapes = []
    for j in range(index + 1):
        half = side // 2 ** (scales - j + 1)
        # f_j^i sees 4 C 2^(n-i) 2^(i-j) channels and passes half of them on, but for j = 0.
        channels = 4 * latent_channels(1, index, scales) * 2 ** (index - j) // (2 if j else 1)
        shapes.append((channels, half, half))
    return Case(
        lambda: Read(
            ConditionalFlow(index, helpers.sizes(scales, trunk=trunks or 0, trunk_blocks=2))
        ),
        l[index],
        (d, l[:index]),
        shapes,
    )


def levels(kind, scales, batch_of_d=BATCH):
    side = 2 ** (scales + 1)
    layout = kind(helpers.sizes(scales)).layout
    return Case(
        lambda: Levels(kind(helpers.sizes(scales))),
        pyramid(1, scales, side, 80),
        pyramid(1, scales, side, 90, batch_of_d),
        [(c, side >> halvings, side >> halvings) for z_i in layout for c, halvings in z_i],
    )


def caflow(scales, side, conditional="caflow"):
    model = helpers.small_config(
        scales=scales,
        target_channels=1,
        cond_channels=1,
        t_steps=1,
        hidden=6,
        f_hidden=6,
        conditional=conditional,
    )
    shapes = CAFlow(model).latent_shapes((side, side))
    return Case(
        lambda: CAFlowMap(CAFlow(model)),
        pixels((BATCH, 1, side, side), 60),
        pyramid(1, scales, side, 70),
        shapes,
    )


def step_features(batch, h, w):
    return normal((batch, HIDDEN, h, w), 20), normal((batch, HIDDEN, h, w), 21)


def folded_affine():
    """Two maps in one; it has no parameters to randomise later."""
    maps = [helpers.randomise(ChannelAffine(4), seed).double() for seed in (5, 6)]
    return FoldedAffine(maps)


HOLED = helpers.with_hole(pixels((1, 3, 4, 4), 39).to(torch.uint8)) + 0.3
FILLED = FilledPixels().complete(HOLED.double())

CASES = {
    "Anchor/guide": Case(
        lambda: Anchor("none", 1, Guide(2, (3, 4), 1)),
        pixels((BATCH, 1, 4, 6), 34),
        AnchorCondition(pixels((BATCH, 2, 4, 6), 35), normal((BATCH, 1, 4, 6), 36)),
    ),
    "Anchor/pixels, candidates": Case(
        lambda: Anchor("pixels", 3),
        pixels((BATCH, 3, 4, 4), 34),
        AnchorCondition(HOLED, normal((1, 3, 4, 4), 36)),
    ),
    "KnownImage": Case(
        lambda: KnownImage(), pixels((BATCH, 1, 4, 4), 37), pixels((1, 1, 4, 4), 38)
    ),
    "Anchor/enlarged, mean, candidates": Case(
        lambda: Anchor("enlarged", 1),
        pixels((BATCH, 1, 4, 4), 34),
        AnchorCondition(pixels((1, 1, 4, 4), 35), normal((1, 1, 4, 4), 36)),
    ),
    "Anchor/pixels, mean and spread, candidates": Case(
        lambda: Anchor("pixels", 3, bound=BOUND),
        pixels((BATCH, 3, 4, 4), 34),
        AnchorCondition(HOLED, normal((1, 3, 4, 4), 36), normal((1, 3, 4, 4), 37)),
    ),
    "Anchor/fill, mean and spread, candidates": Case(
        lambda: Anchor("fill", 3, bound=BOUND),
        pixels((BATCH, 3, 4, 4), 34),
        AnchorCondition(FILLED, normal((1, 3, 4, 4), 36), normal((1, 3, 4, 4), 37)),
    ),
    "KnownPixels": Case(lambda: KnownPixels(), pixels((BATCH, 3, 4, 4), 37), HOLED),
    "FilledPixels": Case(lambda: FilledPixels(), pixels((BATCH, 3, 4, 4), 37), FILLED),
    "KnownLuminance": Case(
        lambda: KnownLuminance(0.1),
        pixels((BATCH, 3, 3, 4), 38),
        pixels((1, 1, 3, 4), 39),
    ),
    "ChannelAffine": Case(lambda: ChannelAffine(4), normal((BATCH, 4, 3, 2), 3)),
    "FoldedAffine": Case(folded_affine, normal((BATCH, 4, 3, 2), 3)),
    "Squeeze": Case(Squeeze, normal((BATCH, 2, 4, 6), 4), None, (8, 2, 3)),
    "Coupling": Case(lambda: Coupling(4, HIDDEN, BOUND), normal((BATCH, 4, 3, 4), 5)),
    "Coupling/cond": Case(
        lambda: Coupling(4, HIDDEN, BOUND),
        normal((BATCH, 4, 3, 4), 6),
        normal((BATCH, HIDDEN, 3, 4), 7),
    ),
    "Coupling/candidates": Case(
        lambda: Coupling(4, HIDDEN, BOUND),
        normal((BATCH, 4, 3, 4), 6),
        normal((1, HIDDEN, 3, 4), 7),
    ),
    "Injector": Case(
        lambda: ReadFeatures(Injector(4, HIDDEN, BOUND)),
        normal((BATCH, 4, 3, 4), 8),
        (normal((BATCH, HIDDEN, 3, 4), 9),),
    ),
    "Injector/candidates": Case(
        lambda: ReadFeatures(Injector(4, HIDDEN, BOUND)),
        normal((BATCH, 4, 3, 4), 8),
        (normal((1, HIDDEN, 3, 4), 9),),
    ),
    "Step": Case(lambda: Step(4, HIDDEN, BOUND), normal((BATCH, 4, 4, 4), 10)),
    "ConditionalStep": Case(
        lambda: ReadFeatures(ConditionalStep(4, HIDDEN, BOUND)),
        normal((BATCH, 4, 4, 3), 11),
        step_features(BATCH, 4, 3),
    ),
    "ConditionalStep/candidates": Case(
        lambda: ReadFeatures(ConditionalStep(4, HIDDEN, BOUND)),
        normal((BATCH, 4, 4, 3), 11),
        step_features(1, 4, 3),
    ),
    "Scale": Case(
        lambda: Scale(8, 2, HIDDEN, BOUND), normal((BATCH, 2, 4, 6), 12), None, (8, 2, 3)
    ),
    "Scale/no steps": Case(
        lambda: Scale(8, 0, HIDDEN, BOUND), normal((BATCH, 2, 4, 6), 12), None, (8, 2, 3)
    ),
    "ConditionalScale": Case(
        lambda: Read(ConditionalScale(8, 3, 0, 2, HIDDEN, BOUND)),
        normal((BATCH, 2, 4, 6), 13),
        (normal((BATCH, 3, 4, 6), 14), None),
        (8, 2, 3),
    ),
    "ConditionalScale/L": Case(
        lambda: Read(ConditionalScale(8, 3, 2, 2, HIDDEN, BOUND)),
        normal((BATCH, 2, 4, 6), 15),
        (normal((BATCH, 3, 4, 6), 16), normal((BATCH, 2, 4, 6), 17)),
        (8, 2, 3),
    ),
    "ConditionalScale/L, candidates": Case(
        lambda: Read(ConditionalScale(8, 3, 2, 2, HIDDEN, BOUND)),
        normal((BATCH, 2, 4, 6), 15),
        (normal((1, 3, 4, 6), 16), normal((BATCH, 2, 4, 6), 17)),
        (8, 2, 3),
    ),
    "ConditionalScale/L, trunk, candidates": Case(
        lambda: Read(ConditionalScale(8, 3, 2, 2, HIDDEN, BOUND, trunk=5, trunk_blocks=2)),
        normal((BATCH, 2, 4, 6), 15),
        (normal((1, 3, 4, 6), 16), normal((BATCH, 2, 4, 6), 17)),
        (8, 2, 3),
    ),
    "MultiScaleFlow/1": Case(
        lambda: MultiScaleFlow(1, 2, (HIDDEN,), BOUND),
        normal((BATCH, 1, 4, 6), 18),
        None,
        [(4, 2, 3)],
    ),
    "MultiScaleFlow/3": Case(
        lambda: MultiScaleFlow(1, 1, (HIDDEN, 4, 5), BOUND),
        normal((BATCH, 1, 8, 8), 19),
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
        lambda: ReadFeatures(ConditionalGaussian(4, 2, HIDDEN, BOUND)),
        normal((BATCH, 4, 3, 4), 8),
        (normal((BATCH, 2, 3, 4), 9),),
    ),
    "DualGlow/3": levels(DualGlow, 3),
    "DualGlow/2, candidates": levels(DualGlow, 2, batch_of_d=1),
    "VariationalNoise": Case(
        lambda: VariationalNoise(1, HIDDEN, BOUND),
        normal((BATCH, 1, 4, 6), 32),
        pixels((BATCH, 1, 4, 6), 33).floor(),
    ),
    "Logit": Case(Logit, pixels((BATCH, 2, 3, 3), 30)),
    "Logit/0.2": Case(lambda: Logit(0.2, 1.0), pixels((BATCH, 2, 3, 3), 31) / 256),
    "CAFlow/1": caflow(1, 4),
    "CAFlow/2": caflow(2, 8),
    "CAFlow/2, shared": caflow(2, 8, "shared"),
    "CAFlow/2, dual-glow": caflow(2, 8, "dual-glow"),
}
NOT_INVERTIBLE = {
    "ActNorm",  # a part of `ChannelAffine`, as is
    "AnchorCondition",
    "Composed",
    "Conv",
    "ConvNet",
    "Enlarge",
    "FixedConv",
    "Guide",
    "InvConv1x1",
    "Modules",
    "ScaleCondition",
    "Spread",
    "StepCondition",
    "Trunk",
    "UNet",
}

every_case = pytest.mark.parametrize("name", CASES)


def build(name):
    case = CASES[name]
    module = helpers.randomise(helpers.seeded(case.build, 1), seed=2)
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


# What is folded keeps the type that it was folded in.
@pytest.mark.parametrize("name", [name for name in CASES if name != "FoldedAffine"])
@torch.no_grad()
def test_float32_logdet_is_summed_in_float64(name):
    module, x, cond = build(name)

    def as_float(value):
        if isinstance(value, (list, tuple)):
            build_again = getattr(value, "_make", type(value))
            return build_again([as_float(v) for v in value])
        return None if value is None else value.float()

    _, logdet = module(x, cond)
    small, logdet_small = module.float()(as_float(x), as_float(cond))
    assert all(t.dtype == torch.float32 for t in helpers.tensors(small))
    assert logdet_small.dtype == torch.float64
    torch.testing.assert_close(logdet_small, logdet, rtol=1e-5, atol=1e-3)
    _, logdet_back = module.inverse(small, as_float(cond))
    assert logdet_back.dtype == torch.float64


def test_the_walk_reaches_every_parameter():
    """Nothing of a model is left at the identity by `randomise`, nor unused by its density."""
    case = CASES["CAFlow/2"]
    model = helpers.randomise(helpers.seeded(case.build, 1), seed=2).double().model
    cond = pixels(case.x.shape, 61)
    terms = model(case.x, cond)
    (terms.log_prob + terms.cond_log_prob).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.detach().any(), name
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name
