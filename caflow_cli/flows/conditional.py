"""F, the conditional flow of the latents of T, in three variants with the same interface.

`Autoregressive` is the paper's (section 4.2, equation 8), `SharedAutoregressive` shares weights
(appendix D), and `DualGlow` is the baseline, independent Gaussians (section 3.1, equation 6).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from ..config import FlowConfig
from ..layers import ConvNet, Modules, WithLogdet, affine, affine_inverse, zero_logdet
from .scale import ConditionalScale, ScaleCondition, function_channels, latent_channels
from .step import Chain, merge_through, split_through

Latents = list[list[Tensor]]  # z[i][j] = z_j^i
FlowCondition = Sequence[Sequence[ScaleCondition]]  # what each function of F computes from D
Layout = list[list[tuple[int, int]]]


def latent_layout(target_channels: int, scales: int) -> Layout:
    """For each z_j^i, as `[i][j]`: its channels, and how often the image's sides are halved."""
    layout = []
    for i in range(scales):
        z_i = []
        for j in range(i + 1):
            channels = function_channels(target_channels, i, j, scales)
            if j > 0:  # f_j^i passes on half of its channels
                channels //= 2
            z_i.append((channels, scales - j + 1))
        layout.append(z_i)
    return layout


class ConditionalFlow(nn.Module):
    """F_i = (f_i^i, ..., f_0^i): L_i | D_i..D_0, L_{i-1}..L_0 -> [z_0^i, ..., z_i^i].

        f_i^i : L_i  | D_i       -> [Z'_{i-1}, z_i^i]
        f_j^i : Z'_j | D_j, L_j  -> [Z'_{j-1}, z_j^i]      0 < j < i
        f_0^i : Z'_0 | D_0, L_0  -> z_0^i                  (f_0^0 : L_0 | D_0)

    `cond` is the list that `read` returns for D, indexed by j, with L_j added for j < i. D may have
    one entry per image while L_i has one per candidate. The output is indexed by j.

    Args:
        i: Which F_i.
        flow: Sizes and variants.
    """

    def __init__(self, i: int, flow: FlowConfig) -> None:
        super().__init__()
        self.functions = Modules[ConditionalScale](
            ConditionalScale(i, j, flow) for j in range(i + 1)
        )

    def read(self, d: Sequence[Tensor]) -> list[ScaleCondition]:
        """Compute what depends on D_j alone, for each f_j^i."""
        return [function.read(d[j]) for j, function in enumerate(self.functions)]

    def _chain(self, cond: Sequence[ScaleCondition]) -> Chain:
        """The functions, from the finest one to the coarsest."""
        return list(zip(self.functions, cond, strict=True))[::-1]

    def forward(
        self,
        x: Tensor,
        cond: Sequence[ScaleCondition],
    ) -> tuple[list[Tensor], Tensor]:
        return split_through(self._chain(cond), x)

    def inverse(
        self,
        y: list[Tensor],
        cond: Sequence[ScaleCondition],
    ) -> WithLogdet:
        return merge_through(self._chain(cond), y)


class _FlowPerScale(nn.Module):
    """Flows of L_0, ..., L_{n-1}, each given the condition and the coarser L.

    `forward` maps the list L to `z[i][j]`, given the condition that `read` computes from the list
    D. `inverse` computes L_0 first, then each L_i given the coarser ones.
    """

    layout: Layout

    def __iter__(self) -> Iterator[ConditionalFlow | ConditionalGaussian]:
        raise NotImplementedError

    def read(self, d: Sequence[Tensor]) -> FlowCondition:
        """Compute what depends on D alone, for all flows: `[i][j]`."""
        return [flow.read(d) for flow in self]

    def forward(
        self,
        x: Sequence[Tensor],
        cond: FlowCondition,
    ) -> tuple[Latents, Tensor]:
        z: Latents = []
        logdet = zero_logdet(x[0])
        for i, flow in enumerate(self):
            z_i, term = flow(x[i], _with_latents(cond[i], x[:i]))
            z.append(z_i)
            logdet = logdet + term
        return z, logdet

    def inverse(
        self,
        y: Latents,
        cond: FlowCondition,
    ) -> tuple[list[Tensor], Tensor]:
        l: list[Tensor] = []
        logdet = zero_logdet(y[0][0])
        for i, flow in enumerate(self):
            l_i, term = flow.inverse(y[i], _with_latents(cond[i], l))
            l.append(l_i)
            logdet = logdet + term
        return l, logdet


def _with_latents(
    cond: Sequence[ScaleCondition],
    l: Sequence[Tensor],
) -> list[ScaleCondition]:
    """The conditions of f_0^i, ..., f_i^i, with L_0, ..., L_{i-1} added to all but the last."""
    # A `ConditionalGaussian` has one condition, and ignores L_0.
    pairs = zip(cond, [*l, None], strict=False)
    return [of_d.with_latent(l_j) for of_d, l_j in pairs]


class Autoregressive(Modules[ConditionalFlow], _FlowPerScale):
    """[F_0, ..., F_{n-1}], the paper's model of p(L_{n-1}, ..., L_0 | D_{n-1}, ..., D_0).

    It has n (n + 1) / 2 functions f_j^i.

    Args:
        flow: Sizes and variants.
    """

    def __init__(self, flow: FlowConfig) -> None:
        super().__init__(ConditionalFlow(i, flow) for i in range(flow.scales))
        self.layout = latent_layout(flow.target_channels, flow.scales)


class SharedAutoregressive(nn.Module):
    """f_k^{k+1}, ..., f_k^{n-1} share one function f_k, so there are 2n - 1 functions in all.

    These functions have the same conditions, D_k and L_k, and the same shapes. `forward` goes down
    the levels and runs all uses of f_k as one batch, grouped by image. So its nets read the
    condition once for all uses, and its actnorms are initialized on all of them together.

    Interface and arguments are those of `Autoregressive`.
    """

    def __init__(self, flow: FlowConfig) -> None:
        super().__init__()
        n = flow.scales
        self.own = Modules[ConditionalScale](ConditionalScale(i, i, flow) for i in range(n))
        self.shared = Modules[ConditionalScale](
            ConditionalScale(k + 1, k, flow) for k in range(n - 1)
        )
        self.layout = latent_layout(flow.target_channels, n)

    def read(self, d: Sequence[Tensor]) -> FlowCondition:
        for_own = [function.read(d_j) for function, d_j in zip(self.own, d, strict=True)]
        for_shared = [function.read(d[k]) for k, function in enumerate(self.shared)]
        return for_own, for_shared

    def forward(
        self,
        x: Sequence[Tensor],
        cond: FlowCondition,
    ) -> tuple[Latents, Tensor]:
        batch = x[0].shape[0]
        for_own, for_shared = cond
        z: Latents = [[] for _ in x]
        passed: list[Tensor] = []  # Z'_j of F_{j+1}, ..., F_{n-1}
        logdet = zero_logdet(x[0])
        for j in reversed(range(len(x))):
            y, term = self.own[j](x[j], for_own[j])
            logdet = logdet + term
            outputs = [y]
            if passed:
                uses = torch.stack(passed, dim=1).flatten(0, 1)
                read = for_shared[j].with_latent(x[j])
                y, term = self.shared[j](uses, read)
                logdet = logdet + term.view(batch, -1).sum(1)
                outputs += y.unflatten(0, (batch, -1)).unbind(1)  # type: ignore[no-untyped-call]
            if j > 0:
                halves = [output.chunk(2, dim=1) for output in outputs]
                passed = [half for half, _ in halves]
                outputs = [latent for _, latent in halves]
            for z_i, latent in zip(z[j:], outputs, strict=True):
                z_i.insert(0, latent)
        return z, logdet

    def inverse(
        self,
        y: Latents,
        cond: FlowCondition,
    ) -> tuple[list[Tensor], Tensor]:
        for_own, for_shared = cond
        l: list[Tensor] = []
        logdet = zero_logdet(y[0][0])
        for i, z_i in enumerate(y):
            chain = [(self.own[i], for_own[i])]
            for j in reversed(range(i)):
                chain.append((self.shared[j], for_shared[j].with_latent(l[j])))
            l_i, term = merge_through(chain, z_i)
            l.append(l_i)
            logdet = logdet + term
        return l, logdet


class ConditionalGaussian(nn.Module):
    """p(L_i | D_i) = N(μ(D_i), diag(exp(2 s(D_i)))), as the map `z = exp(-s) (L_i - μ)`.

    Interface and arguments are those of `ConditionalFlow`; z_i is the only latent.
    """

    def __init__(self, i: int, flow: FlowConfig) -> None:
        super().__init__()
        self.i = i
        self.bound = flow.scale_bound
        channels = latent_channels(flow.target_channels, i, flow.scales)
        d_channels = latent_channels(flow.r_channels, i, flow.scales)
        self.net = ConvNet(d_channels, flow.f_hidden, 2 * channels)

    def read(self, d: Sequence[Tensor]) -> list[ScaleCondition]:
        return [ScaleCondition(self.net(d[self.i]))]

    def forward(
        self,
        x: Tensor,
        cond: Sequence[ScaleCondition],
    ) -> tuple[list[Tensor], Tensor]:
        z, logdet = affine_inverse(x, cond[0].embedded, self.bound)
        return [z], logdet

    def inverse(
        self,
        y: list[Tensor],
        cond: Sequence[ScaleCondition],
    ) -> WithLogdet:
        return affine(y[0], cond[0].embedded, self.bound)


class DualGlow(_FlowPerScale):
    """p(L | D) = Π_i p(L_i | D_i), with independent scales; z[i] has a single latent, that of L_i.

    Interface and arguments are those of `Autoregressive`, but Gaussians have no steps or trunk.
    """

    def __init__(self, flow: FlowConfig) -> None:
        super().__init__()
        n = flow.scales
        self.gaussians = Modules[ConditionalGaussian](
            ConditionalGaussian(i, flow) for i in range(n)
        )
        channels = [latent_channels(flow.target_channels, i, n) for i in range(n)]
        self.layout = [[(c, n - i)] for i, c in enumerate(channels)]

    def __iter__(self) -> Iterator[ConditionalGaussian]:
        return iter(self.gaussians)
