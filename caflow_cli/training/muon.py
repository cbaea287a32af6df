"""Muon: steps whose matrices are orthogonal, for the kernels of nets."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import torch
from torch import Tensor

from .phases import GUIDE

__all__ = ["Muon", "has_orthogonal_steps", "orthogonal"]

_MOMENTUM = 0.95
_LENGTH = 0.2  # root mean square of a step, in units of the rate: about that of Adam's
_ITERATIONS = 5
_QUINTIC = 3.4445, -4.7750, 2.0315
_ENDS = {"last", "injections", "head"}  # of nets


class Muon(torch.optim.Adam):
    """Adam, and Muon (Jordan et al. 2024) for the groups of parameters that set `orthogonal`.

        M <- μ M + (1 - μ) G,  U = μ M + (1 - μ) G
        W <- W - η 0.2 √max(m, n) orthogonal(U)

    of a kernel as a matrix m×n, of its outputs and all that they read; μ is 0.95. All directions of
    a step are as long as each other, where in Adam's few take all. The length (Liu et al. 2025) is
    such that one rate η suits both rules.

    Args:
        params, options: As `torch.optim.Adam`.
        bf16: Whether `orthogonal` runs in bfloat16.
    """

    def __init__(self, params: Any, *, bf16: bool = False, **options: Any) -> None:
        super().__init__(params, **options)
        self.bf16 = bf16

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Move every parameter that has a gradient. No closure is taken."""
        alike: dict[tuple[int, int, float], list[tuple[Tensor, Tensor]]] = defaultdict(list)
        for group in self.param_groups:
            for parameter in group["params"] if group.get("orthogonal") else ():
                if parameter.grad is not None:
                    towards = self._mean(parameter, parameter.grad)
                    alike[(*towards.shape, group["lr"])].append((parameter, towards))
                    parameter.grad = None  # so Adam leaves it alone
        for (m, n, lr), steps in alike.items():  # those of a shape at once
            whole = torch.stack([towards for _, towards in steps])
            along = orthogonal(whole, torch.bfloat16 if self.bf16 else whole.dtype)
            for (parameter, _), own in zip(steps, along, strict=True):
                parameter.sub_(own.reshape(parameter.shape), alpha=lr * _LENGTH * max(m, n) ** 0.5)
        super().step()

    def _mean(self, parameter: Tensor, grad: Tensor) -> Tensor:
        """Take a gradient into the running mean M. Returns U, (m, n)."""
        state = self.state[parameter]
        if not state:
            state["step"] = torch.zeros(())  # Adam looks for it in all that it loads
            state["momentum"] = torch.zeros_like(parameter)
        state["step"] += 1
        state["momentum"].lerp_(grad, 1 - _MOMENTUM)
        return grad.lerp(state["momentum"], _MOMENTUM).reshape(grad.shape[0], -1)


def orthogonal(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Almost `U V'` of `X = U S V'`: five iterations of Newton and Schulz, in a type.

        X <- a X + (b X X' + c (X X')²) X

    brings the singular values of X / |X| that are above 0.002 to between 0.68 and 1.2. Smaller ones
    grow up to 485 times.

    Shapes: (K, m, n) -> the same, in the type of x.
    """
    a, b, c = _QUINTIC
    upright = x.shape[-2] > x.shape[-1]
    y = (x.mT if upright else x).to(dtype)
    y = y / (y.flatten(1).norm(dim=1)[:, None, None] + 1e-7)
    for _ in range(_ITERATIONS):
        square = y @ y.mT
        y = a * y + (b * square + c * square @ square) @ y
    found: Tensor = (y.mT if upright else y).to(x.dtype)
    return found


def has_orthogonal_steps(name: str, parameter: Tensor) -> bool:
    """Whether a parameter is a kernel of the flows' nets whose outputs go on through a net.

    The last layer of a net begins at zero and sets a scale, guides are taught apart, and the 1×1
    convolutions of the flows must stay invertible: these are Adam's.
    """
    ends = any(part in _ENDS for part in name.split("."))
    return parameter.ndim == 4 and not ends and not name.startswith(GUIDE)
