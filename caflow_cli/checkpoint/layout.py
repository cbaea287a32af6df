"""Names and shapes of the tensors of a config's model, without building the model.

The constructors of the modules imply the same, and a test checks that both agree. This module takes
no memory, whatever a config asks for, and imports no torch.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from ..config import NOISE_STEPS, TRANSITIONS, Config, FlowConfig

__all__ = ["layout"]

Shapes = Iterator[tuple[str, tuple[int, ...]]]


def layout(config: Config) -> Shapes:
    """Yield (name, shape) of each tensor of `CAFlow(config)`, parameters and buffers."""
    flow = config.flow
    for k, hidden in enumerate(flow.widths):
        double = 4 * 2**k
        yield from _scale(f"R.scales.{k}", flow.r_channels * double, flow.r_steps, hidden)
        yield from _scale(f"T.scales.{k}", flow.target_channels * double, flow.t_steps, hidden)
    if flow.guides:
        says = flow.target_channels * (1 if flow.guide_says == "mean" else 2)
        if flow.guide_net == "enlarge":
            yield from _enlarge("A.guide", flow, says)
        else:
            net = _GUIDES[flow.guide_net]
            yield from net("A.guide", flow.cond_channels, flow.guides, says)
    if flow.spread:
        channels = flow.cond_channels + flow.target_channels
        yield from _conv("A.spread.first", 4 * channels, flow.spread, 3)
        yield from _conv("A.spread.second", flow.spread, flow.spread, 3)
        yield from _conv("A.spread.head", flow.spread, 4 * flow.target_channels, 3)
    yield from _CONDITIONALS[flow.conditional](flow)
    if flow.dequantization == "variational":
        channels, steps = 4 * flow.target_channels, NOISE_STEPS
        yield from _conv("Q.embed", channels, 2 * steps * flow.f_hidden, 3)
        for k in range(steps):
            yield from _conditional_step(f"Q.steps.{k}", channels, flow.f_hidden, True)


def _autoregressive(flow: FlowConfig) -> Shapes:
    for i in range(flow.scales):
        for j in range(i + 1):
            yield from _function(f"F.{i}.functions.{j}", i, j, flow)


def _shared(flow: FlowConfig) -> Shapes:
    for i in range(flow.scales):
        yield from _function(f"F.own.{i}", i, i, flow)
    for k in range(flow.scales - 1):
        yield from _function(f"F.shared.{k}", k + 1, k, flow)


def _dual_glow(flow: FlowConfig) -> Shapes:
    for i in range(flow.scales):
        d, l = (_latent(c, i, flow) for c in (flow.r_channels, flow.target_channels))
        yield from _net(f"F.gaussians.{i}.net", d, flow.f_hidden, 2 * l)


_CONDITIONALS = {"caflow": _autoregressive, "shared": _shared, "dual-glow": _dual_glow}


def _latent(image_channels: int, i: int, flow: FlowConfig) -> int:
    """Channels of L_i or D_i."""
    return int(image_channels * 2 ** (flow.scales - i) * (2 if i == 0 else 1))


def _function(name: str, i: int, j: int, flow: FlowConfig) -> Shapes:
    """f_j^i"""
    channels = 4 * _latent(flow.target_channels, i, flow) * 2 ** (i - j)
    steps, hidden, trunk = flow.f_steps, flow.f_hidden, flow.trunks[-1 - j]
    width = trunk or 2 * steps * hidden
    for k in range(TRANSITIONS):
        yield from _affine(f"{name}.transitions.{k}", channels)
    yield from _conv(f"{name}.embed_d", 4 * _latent(flow.r_channels, j, flow), width, 3)
    if j < i:
        l_channels = 4 * _latent(flow.target_channels, j, flow)
        yield from _conv(f"{name}.embed_l", l_channels, width, 3, bias=False)
    if trunk:
        for k in range(flow.trunk_blocks):
            yield from _conv(f"{name}.trunk.blocks.{k}.first", trunk, trunk, 3)
            yield from _conv(f"{name}.trunk.blocks.{k}.second", trunk, trunk, 1)
        yield from _conv(f"{name}.trunk.features", trunk, steps * hidden, 1)
        yield from _conv(f"{name}.trunk.injections", trunk, steps * 2 * channels, 1)
    for k in range(steps):
        yield from _conditional_step(f"{name}.steps.{k}", channels, hidden, not trunk)


def _scale(name: str, channels: int, steps: int, hidden: int) -> Shapes:
    for k in range(TRANSITIONS):
        yield from _affine(f"{name}.transitions.{k}", channels)
    for k in range(steps):
        yield from _affine(f"{name}.steps.{k}.affine", channels)
        yield from _net(f"{name}.steps.{k}.coupling.net", channels // 2, hidden, channels)


def _conditional_step(name: str, channels: int, hidden: int, injector_net: bool) -> Shapes:
    yield from _affine(f"{name}.affine", channels)
    if injector_net:
        yield from _net(f"{name}.injector.net", 0, hidden, 2 * channels)
    yield from _net(f"{name}.coupling.net", channels // 2, hidden, channels)


def _affine(name: str, channels: int) -> Shapes:
    yield f"{name}.actnorm.bias", (channels,)
    yield f"{name}.actnorm.log_scale", (channels,)
    yield f"{name}.actnorm.initialized", ()
    yield f"{name}.invconv.lu", (channels, channels)
    yield f"{name}.invconv.log_diag", (channels,)
    yield f"{name}.invconv.sign", (channels,)
    yield f"{name}.invconv.permutation", (channels,)


def _net(name: str, inside: int, hidden: int, outside: int) -> Shapes:
    if inside:
        yield from _conv(f"{name}.first", inside, hidden, 3)
    yield from _conv(f"{name}.second", hidden, hidden, 1)
    yield from _conv(f"{name}.last", hidden, outside, 3)


def _guide(name: str, inside: int, widths: tuple[int, ...], outside: int) -> Shapes:
    yield from _conv(f"{name}.embed", 4 * inside, widths[0], 3)
    for k, width in enumerate(widths):
        for way in ("down", "up"):
            yield from _conv(f"{name}.{way}.{k}.first", width, width, 3)
            yield from _conv(f"{name}.{way}.{k}.second", width, width, 1)
    for k, (fine, coarse) in enumerate(itertools.pairwise(widths)):
        yield from _conv(f"{name}.wider.{k}", fine, coarse, 3)
        yield from _conv(f"{name}.narrower.{k}", coarse, fine, 1)
    yield from _conv(f"{name}.head", widths[0], 4 * outside, 3)


def _unet(name: str, inside: int, widths: tuple[int, ...], outside: int) -> Shapes:
    yield from _conv(f"{name}.embed", 4 * inside, widths[0], 3)
    for k, (fine, width) in enumerate(itertools.pairwise([widths[0], *widths])):
        yield from _double(f"{name}.down.{k}", fine, width)
    for k, (fine, coarse) in enumerate(itertools.pairwise(widths)):
        yield from _double(f"{name}.up.{k}", fine + coarse, fine)
    yield from _conv(f"{name}.head", widths[0], 4 * outside, 3)


def _double(name: str, inside: int, width: int) -> Shapes:
    yield from _conv(f"{name}.first", inside, width, 3)
    yield from _conv(f"{name}.second", width, width, 3)
    if inside != width:
        yield from _conv(f"{name}.skip", inside, width, 1)


def _enlarge(name: str, flow: FlowConfig, outside: int) -> Shapes:
    [width], half = flow.guides, max(1, flow.guides[0] // 2)
    yield from _conv(f"{name}.embed", flow.guide_factor**2 * flow.cond_channels, width, 3)
    for k in range(flow.guide_blocks):
        yield from _conv(f"{name}.blocks.{k}.first", width, width, 3)
        yield from _conv(f"{name}.blocks.{k}.second", width, width, 3)
    yield from _conv(f"{name}.tail", width, width, 3)
    doublings = flow.guide_factor.bit_length() - 1
    for k in range(doublings):
        yield from _conv(f"{name}.up.{k}", width, 4 * (half if k == doublings - 1 else width), 3)
    yield from _conv(f"{name}.head", half, outside, 3)


_GUIDES = {"sums": _guide, "unet": _unet}


def _conv(name: str, inside: int, outside: int, size: int, bias: bool = True) -> Shapes:
    yield f"{name}.weight", (outside, inside, size, size)
    if bias:
        yield f"{name}.bias", (outside,)
