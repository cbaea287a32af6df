"""One scale of a flow: squeeze, two transition steps, K flow steps (paper appendix A)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

from torch import Tensor, nn

from ..layers import (
    ChannelAffine,
    Composed,
    Conv,
    FoldedAffine,
    ScaleAndBias,
    Squeeze,
    Trunk,
    compose,
    fold_children,
)
from ..layers.terms import per_candidate
from .chain import Link, forward_through, inverse_through
from .step import ConditionalStep, Step, StepCondition

__all__ = ["ConditionalScale", "Reading", "Scale"]

TRANSITIONS = 2


class Scale(nn.Module):
    """One scale of R or T. (B, C, H, W) <-> (B, 4C, H/2, W/2); the flow does the split.

    Args:
        channels: 4C, the channels behind the squeeze.
        steps: K.
        hidden: Kernels of the nets.
        bound: Bound of the log-scales.
    """

    recompute = False  # set on all by `CAFlow.checkpoint_activations`

    def __init__(self, channels: int, steps: int, hidden: int, bound: float) -> None:
        super().__init__()
        self.squeeze = Squeeze()
        self.transitions = nn.ModuleList(ChannelAffine(channels) for _ in range(TRANSITIONS))
        self.steps = nn.ModuleList(Step(channels, hidden, bound) for _ in range(steps))

    def _links(self) -> list[Link]:
        layers: list[Any] = [*self.transitions, *self.steps]
        return [(self.squeeze, None), *zip(layers, _composed(self), strict=True)]

    def forward(self, x: Tensor, cond: None = None) -> tuple[Tensor, Tensor]:
        return forward_through(self._links(), x, self.recompute)

    def inverse(self, y: Tensor, cond: None = None) -> tuple[Tensor, Tensor]:
        return inverse_through(self._links(), y)

    def fold(self) -> Scale:
        return _fold(self)


class Reading(NamedTuple):
    """What a `ConditionalScale` makes of D_j alone, the same for all candidates of an image."""

    embedded: Tensor | None  # D_j's share of what is read, where L_j has another
    features: list[tuple[ScaleAndBias, Tensor]]  # without an L_j: what each step reads


class ConditionalScale(nn.Module):
    """f_j^i: one scale of a conditional flow (paper section 4.2, appendix A.2).

    Conditions are squeezed like x. The first layer of every net of every step, as far as it reads
    the condition, is one convolution over D_j and one over L_j, computed in one go. With a trunk,
    these two only feed it, and it says what the steps read (`Trunk`). What depends on D_j alone,
    the same for all candidates of an image, is computed once an image, and with `read` once for
    several uses.

    Args:
        channels: Channels of x behind the squeeze, 4C.
        d_channels, l_channels: Channels of D_j and of L_j (0: no L_j, that is i = j).
        steps, hidden, bound: As in `Scale`.
        trunk, trunk_blocks: Width and depth of the trunk; width 0: none.

    Shapes: x (B, C, H, W) <-> (B, 4C, H/2, W/2); cond = (D_j, L_j or None), D_j (B or B / M,
    d_channels, H, W), or what `read` made of it; L_j (B, l_channels, H, W).
    """

    recompute = False  # as in `Scale`

    def __init__(
        self,
        channels: int,
        d_channels: int,
        l_channels: int,
        steps: int,
        hidden: int,
        bound: float,
        trunk: int = 0,
        trunk_blocks: int = 1,
    ) -> None:
        super().__init__()
        self.squeeze = Squeeze()
        self.transitions = nn.ModuleList(ChannelAffine(channels) for _ in range(TRANSITIONS))
        width = trunk or 2 * steps * hidden  # one half for the injectors, one for the couplings
        self.embed_d = Conv(4 * d_channels, width, 3)
        self.embed_l = Conv(4 * l_channels, width, 3, bias=False) if l_channels else None
        std = (2 / (9 * 4 * (d_channels + l_channels))) ** 0.5
        for embed in (self.embed_d, self.embed_l):
            if embed is not None:
                nn.init.normal_(embed.weight, std=std)
        nn.init.zeros_(self.embed_d.bias)  # type: ignore[arg-type]
        self.trunk = (
            Trunk(trunk, trunk_blocks, steps * hidden, steps * 2 * channels) if trunk else None
        )
        self.steps = nn.ModuleList(
            ConditionalStep(channels, hidden, bound, injector_net=not trunk) for _ in range(steps)
        )

    def read(self, d: Tensor) -> Reading:
        """What depends on D_j alone, for more than one use."""
        embedded = self.embed_d(self.squeeze(d)[0])
        if self.embed_l is not None:
            return Reading(embedded, [])
        steps: list[Any] = list(self.steps)
        return Reading(
            None,
            [
                (step.injector.read(for_injector), for_coupling)
                for step, (for_injector, for_coupling) in zip(
                    steps, self._shares(embedded), strict=True
                )
            ],
        )

    def _features(
        self, cond: tuple[Tensor | Reading, Tensor | None]
    ) -> Sequence[tuple[Tensor | ScaleAndBias, Tensor]]:
        d, l = cond
        if isinstance(d, Tensor):
            embedded = self.embed_d(self.squeeze(d)[0])
        elif d.embedded is None:
            return d.features
        else:
            embedded = d.embedded
        if self.embed_l is not None:
            assert l is not None, "this function has an L among its conditions"
            own = self.embed_l(self.squeeze(l)[0])
            embedded = own.add_(per_candidate(embedded, own.shape[0]))
        return self._shares(embedded)

    def _shares(self, features: Tensor) -> list[tuple[Tensor, Tensor]]:
        """What each step reads, of what was embedded."""
        steps = len(self.steps)
        if self.trunk is not None:
            features, injections = self.trunk(features)
            pairs = zip(injections.chunk(steps, dim=1), features.chunk(steps, dim=1), strict=True)
        else:
            parts = features.chunk(2 * steps, dim=1)
            pairs = zip(parts[::2], parts[1::2], strict=True)
        return list(pairs)

    def _links(self, cond: tuple[Tensor | Reading, Tensor | None]) -> list[Link]:
        maps = _composed(self)
        transitions: list[Any] = list(self.transitions)
        steps: list[Any] = list(self.steps)
        conditions = (
            StepCondition(*features, affine)
            for features, affine in zip(self._features(cond), maps[len(transitions) :], strict=True)
        )
        return [
            (self.squeeze, None),
            *zip(transitions, maps[: len(transitions)], strict=True),
            *zip(steps, conditions, strict=True),
        ]

    def forward(
        self, x: Tensor, cond: tuple[Tensor | Reading, Tensor | None]
    ) -> tuple[Tensor, Tensor]:
        return forward_through(self._links(cond), x, self.recompute)

    def inverse(
        self, y: Tensor, cond: tuple[Tensor | Reading, Tensor | None]
    ) -> tuple[Tensor, Tensor]:
        return inverse_through(self._links(cond), y)

    def fold(self) -> ConditionalScale:
        return _fold(self)


_S = TypeVar("_S", Scale, ConditionalScale)


def _fold(scale: _S) -> _S:
    """The transitions become one map with the first step's actnorm and 1×1, if there is a step."""
    folded = fold_children(scale)
    run: list[Any] = list(scale.transitions)
    if len(scale.steps):
        trained: Any = scale.steps[0]
        first: Any = folded.steps[0]
        first.affine = FoldedAffine([*run, trained.affine])
        folded.transitions = nn.ModuleList()
    else:
        folded.transitions = nn.ModuleList([FoldedAffine(run)])
    return folded


def _composed(scale: Scale | ConditionalScale) -> Sequence[Composed | None]:
    """The affine maps of a scale, transitions first."""
    transitions: list[Any] = list(scale.transitions)
    steps: list[Any] = list(scale.steps)
    return compose([*transitions, *(step.affine for step in steps)])
