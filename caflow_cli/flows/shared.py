"""Weight sharing between the conditional flows (paper appendix D)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..config import FlowConfig
from ..devices import zeros_float64
from ..layers import Modules
from .conditional import FlowCondition, Latents, function, latent_layout
from .scale import ConditionalScale


class SharedAutoregressive(nn.Module):
    """f_k^{k+1}, ..., f_k^{n-1} are one function f_k, which makes 2n - 1 functions in all.

    These functions have the same conditions, D_k and L_k, and the same shapes. `forward` goes down
    the levels and runs the uses of f_k as one batch, in which the uses for one image are
    neighbours. So its nets read the condition once for all uses, and its actnorms are initialised
    on all of them together.

    Contract and arguments are those of `Autoregressive`.
    """

    def __init__(self, flow: FlowConfig) -> None:
        super().__init__()
        n = flow.scales
        self.own = Modules[ConditionalScale](function(i, i, flow) for i in range(n))
        self.shared = Modules[ConditionalScale](function(k + 1, k, flow) for k in range(n - 1))
        self.layout = latent_layout(flow.target_channels, n)

    def read(self, d: Sequence[Tensor]) -> FlowCondition:
        return [[f.read(d[j]) for j, f in enumerate(group)] for group in (self.own, self.shared)]

    def forward(self, x: Sequence[Tensor], cond: FlowCondition) -> tuple[Latents, Tensor]:
        n, batch = len(x), x[0].shape[0]
        for_own, for_shared = cond
        z: Latents = [[] for _ in range(n)]
        z_prime: dict[int, Tensor] = {}  # Z' of each F_i, at the level reached
        logdet = zeros_float64(batch, x[0])
        for j in reversed(range(n)):
            outputs: dict[int, Tensor] = {}
            outputs[j], term = self.own[j](x[j], for_own[j])
            logdet = logdet + term
            users = range(j + 1, n)
            if users:
                uses = torch.stack([z_prime[i] for i in users], dim=1).flatten(0, 1)
                y, term = self.shared[j](uses, for_shared[j].with_latent(x[j]))
                logdet = logdet + term.view(batch, len(users)).sum(1)
                outputs.update(zip(users, y.unflatten(0, (batch, -1)).unbind(1), strict=True))  # type: ignore[no-untyped-call]
            for i, output in outputs.items():
                if j == 0:
                    z[i].insert(0, output)
                else:
                    z_prime[i], latent = output.chunk(2, dim=1)
                    z[i].insert(0, latent)
        return z, logdet

    def inverse(self, y: Latents, cond: FlowCondition) -> tuple[list[Tensor], Tensor]:
        for_own, for_shared = cond
        l: list[Tensor] = []
        logdet = zeros_float64(y[0][0].shape[0], y[0][0])
        for i, z in enumerate(y):
            x = z[0]
            for j in range(i + 1):
                if j > 0:
                    x = torch.cat([x, z[j]], dim=1)
                if j == i:
                    x, term = self.own[i].inverse(x, for_own[i])
                else:
                    x, term = self.shared[j].inverse(x, for_shared[j].with_latent(l[j]))
                logdet = logdet + term
            l.append(x)
        return l, logdet
