"""One scale of a flow: squeeze, two transition steps, K flow steps (paper appendix A)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

from torch import Tensor, nn

from ..config import TRANSITIONS, FlowConfig
from ..layers import (
    ChannelAffine,
    Conv,
    FoldedAffine,
    Modules,
    Squeeze,
    Trunk,
    WithLogdet,
    affine_maps,
    fold_children,
    per_candidate,
    product,
    with_children,
)
from .step import Chain, ConditionalStep, Step, StepCondition, forward_through, inverse_through

_S = TypeVar("_S", bound="_Scale")


def latent_channels(image_channels: int, i: int, scales: int) -> int:
    """The channels of L_i or D_i: C 2^(n-i), or twice as many for i = 0, which is not split."""
    channels = image_channels << (scales - i)
    return 2 * channels if i == 0 else channels


def function_channels(
    image_channels: int,
    i: int,
    j: int,
    scales: int,
) -> int:
    """The channels in f_j^i after its squeeze: 4 times 2^(i-j) times those of L_i."""
    channels = 4 * latent_channels(image_channels, i, scales)
    return channels << (i - j)


class _Scale(nn.Module):
    """Squeeze, transitions and steps. `_conditions` computes the conditions of the steps."""

    steps: Modules[Any]

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.squeeze = Squeeze()
        self.transitions = Modules[nn.Module](ChannelAffine(channels) for _ in range(TRANSITIONS))

    def _conditions(self, cond: Any) -> Sequence[Any]:
        return [None] * len(self.steps)

    def _chain(self, cond: Any) -> Chain:
        conditions = self._conditions(cond)
        return [
            (self.squeeze, None),
            *((transition, None) for transition in self.transitions),
            *zip(self.steps, conditions, strict=True),
        ]

    def forward(self, x: Tensor, cond: Any = None) -> WithLogdet:
        scale = self
        if self.training and all(layer.actnorm.is_initialized for layer in self._affines()):
            scale = self.composed()
        return forward_through(scale._chain(cond), x)

    def inverse(self, y: Tensor, cond: Any = None) -> WithLogdet:
        return inverse_through(self._chain(cond), y)

    def _affines(self) -> list[Any]:
        """The channel maps of the transitions and of the steps."""
        return [*self.transitions, *(step.affine for step in self.steps)]

    def composed(self: _S) -> _S:
        """Compose the maps for one pass of training, the transitions and the first step's as one.

        A matrix product costs less than a convolution over all pixels, forward and backward.
        """
        layers = self._affines()
        maps = affine_maps(layers, layers[0].invconv.lu.dtype)
        if not self.steps:
            return with_children(self, {"transitions": Modules(maps)})
        return self._beginning_with([product(maps[: TRANSITIONS + 1]), *maps[TRANSITIONS + 1 :]])

    def fold(self: _S) -> _S:
        """Fold the transitions and the first step's actnorm and 1×1, if any, into one map."""
        folded = fold_children(self)
        merged = FoldedAffine(self._affines()[: TRANSITIONS + 1])
        if not self.steps:
            return with_children(folded, {"transitions": Modules([merged])})
        return folded._beginning_with([merged, *folded._affines()[TRANSITIONS + 1 :]])

    def _beginning_with(self: _S, maps: Sequence[nn.Module]) -> _S:
        """A copy without transitions, whose steps begin with these channel maps."""
        pairs = zip(self.steps, maps, strict=True)
        steps = [with_children(step, {"affine": affine}) for step, affine in pairs]
        return with_children(self, {"transitions": Modules(), "steps": Modules(steps)})


class Scale(_Scale):
    """One scale of R or T: (B, C, H, W) <-> (B, 4C, H/2, W/2). `MultiScaleFlow` does the split.

    Args:
        k: The scale, 0 for the finest.
        channels: 4C, the channels after the squeeze.
        steps: K, the number of flow steps.
        flow: Sizes and variants.
    """

    def __init__(
        self,
        k: int,
        channels: int,
        steps: int,
        flow: FlowConfig,
    ) -> None:
        super().__init__(channels)
        self.steps = Modules[Step](Step(k, channels, flow) for _ in range(steps))


class ScaleCondition(NamedTuple):
    """The condition of a `ConditionalScale`: features computed from D_j, and L_j.

    The features of D_j are shared by all candidates of an image. Without an L_j, they determine the
    conditions of the steps. With an L_j, the conditions of the steps depend on both, and the
    features are D_j's contribution to the first convolution.
    """

    embedded: Tensor  # features of D_j, (B or B / M, width, H, W)
    steps: Sequence[StepCondition] = ()  # conditions of the steps, if there is no L_j
    l: Tensor | None = None  # L_j, (B, l_channels, H, W), added by `with_latent`

    def with_latent(self, l: Tensor | None) -> ScaleCondition:
        """Return a copy with L_j."""
        return self._replace(l=l)


class ConditionalScale(_Scale):
    """f_j^i: one scale of a conditional flow (paper section 4.2, appendix A.2).

    Conditions are squeezed like x. The nets of all steps read the condition through two
    convolutions, one over D_j and one over L_j, which are computed for all steps at once. With a
    trunk, the two convolutions feed the trunk instead, which computes the features of all steps
    (`Trunk`). `read` computes everything that depends on D_j alone once per image, rather than once
    per candidate.

    Args:
        i, j: Which function: of L_i, given D_j and, if j < i, L_j. For j < i, the shapes are the
            same for every i.
        flow: Sizes and variants.

    Shapes: x (B, C, H, W) <-> (B, 4C, H/2, W/2), with C 2^(i-j) times the channels of L_i; D_j (B
    or B / M, its channels, H, W).
    """

    def __init__(self, i: int, j: int, flow: FlowConfig) -> None:
        n = flow.scales
        channels = function_channels(flow.target_channels, i, j, n)
        super().__init__(channels)
        d_channels = latent_channels(flow.r_channels, j, n)
        l_channels = latent_channels(flow.target_channels, j, n) if j < i else 0
        features = flow.f_steps * flow.f_hidden
        trunk = flow.trunks[-1 - j]
        width = trunk or 2 * features  # one half for the injectors, one for the couplings
        self.embed_d = Conv(4 * d_channels, width, 3)
        self.embed_l = Conv(4 * l_channels, width, 3, bias=False) if l_channels else None
        std = (2 / (9 * 4 * (d_channels + l_channels))) ** 0.5
        for embed in (self.embed_d, self.embed_l):
            if embed is not None:
                nn.init.normal_(embed.weight, std=std)
        injections = flow.f_steps * 2 * channels
        self.trunk = None
        if trunk:
            blocks = flow.trunk_blocks
            self.trunk = Trunk(trunk, blocks, features, injections, norm=flow.trunk_norm)
        self.steps = Modules[ConditionalStep](
            ConditionalStep(channels, flow, injector_net=not trunk) for _ in range(flow.f_steps)
        )

    def read(self, d: Tensor) -> ScaleCondition:
        """Compute everything that depends on D_j alone."""
        embedded = self.embed_d(self.squeeze(d)[0])
        known = self._step_conditions(embedded) if self.embed_l is None else ()
        return ScaleCondition(embedded, known)

    def _conditions(self, cond: ScaleCondition) -> Sequence[StepCondition]:
        if self.embed_l is None:
            return cond.steps
        assert cond.l is not None, "this function has an L among its conditions"
        embedded = self.embed_l(self.squeeze(cond.l)[0])
        embedded.add_(per_candidate(cond.embedded, embedded.shape[0]))
        return self._step_conditions(embedded)

    def _step_conditions(self, embedded: Tensor) -> list[StepCondition]:
        count = len(self.steps)
        if self.trunk is not None:
            features, injections = self.trunk(embedded)
            for_injectors = injections.chunk(count, dim=1)
            for_couplings = features.chunk(count, dim=1)
        else:
            shares = embedded.chunk(2 * count, dim=1)
            for_injectors = shares[::2]
            for_couplings = shares[1::2]
        parts = zip(self.steps, for_injectors, for_couplings, strict=True)
        return [step.read(*part) for step, *part in parts]
