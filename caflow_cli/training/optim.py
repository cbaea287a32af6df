"""The optimiser: parameter groups, Muon, averaged weights, and protection from bad steps."""

import copy
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..flows import ConditionalScale, ConditionalStep, Scale, Step
from ..layers import Conv
from ..model import CAFlow
from .phases import GUIDE, Phase


def named_parameters(model: CAFlow) -> dict[str, nn.Parameter]:
    """The parameters by their names in files, such as `A.guide.head.weight`, in order."""
    return {name.removeprefix("density."): p for name, p in model.named_parameters()}


def parameter_groups(model: CAFlow, phases: Sequence[Phase], method: str) -> list[dict[str, Any]]:
    """Group the parameters by `shares`, their shares of the learning rate in each phase.

    With `method` "muon", `orthogonal` marks the groups that take Muon's steps.
    """
    groups: dict[tuple[Any, ...], list[Tensor]] = {}
    for name, parameter in named_parameters(model).items():
        shares = tuple(phase.share(name, parameter) for phase in phases)
        orthogonal = method == "muon" and has_orthogonal_steps(name, parameter)
        groups.setdefault((shares, orthogonal), []).append(parameter)
    return [
        {"params": params, "shares": shares, "orthogonal": orthogonal}
        for (shares, orthogonal), params in groups.items()
    ]


def use_bf16(model: CAFlow, enabled: bool = True) -> None:
    """Run the networks in bfloat16 while in `train()`; scores and samples never do."""
    for module in model.modules():
        if isinstance(module, Conv):
            module.bf16 = enabled


def checkpoint_activations(model: CAFlow, enabled: bool = True) -> None:
    """Keep only the values between flow steps for the backward pass, which recomputes the rest."""
    for module in model.modules():
        if isinstance(module, Scale | ConditionalScale):
            module.recompute = enabled


def compile_steps(model: CAFlow, backend: str = "inductor") -> None:
    """Compile the flow steps (`torch.compile`) when they first run: one graph for each shape.

    Actnorms must be initialised. On a CPU it needs a C++ compiler.
    """
    for module in model.modules():
        if isinstance(module, Step | ConditionalStep):
            # By its own `forward`: graphs of a class count apart against the compiler's limit.
            module.forward = torch.compile(  # type: ignore[method-assign]
                module.forward, dynamic=False, backend=backend
            )


# --- Muon -----------------------------------------------------------------------------------------

_MOMENTUM = 0.95
_LENGTH = 0.2  # root mean square of a step, in units of the rate: about that of Adam's


class Muon(torch.optim.Adam):
    """Adam, and Muon (Jordan et al. 2024) for the groups of parameters that set `orthogonal`.

        M <- μ M + (1 - μ) G,  U = μ M + (1 - μ) G
        W <- W - η 0.2 √max(m, n) orthogonal(U)

    of a kernel as a matrix m×n, outputs by inputs; μ is 0.95. All singular values of a step are
    nearly equal, where a few dominate in Adam's. The length (Liu et al. 2025) is such that one rate
    η suits both rules. Unlike the published rule it has no weight decay, which was not tried here.
    `bf16` runs `orthogonal` in bfloat16.
    """

    def __init__(self, params: Any, *, bf16: bool = False, **options: Any) -> None:
        super().__init__(params, **options)
        self.bf16 = bf16

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient. No closure is taken."""
        alike: dict[tuple[int, int, float], list[tuple[Tensor, Tensor]]] = defaultdict(list)
        for group in self.param_groups:
            for parameter in group["params"] if group.get("orthogonal") else ():
                if (grad := parameter.grad) is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["step"] = torch.zeros(())  # Adam looks for it in all that it loads
                    state["momentum"] = torch.zeros_like(parameter)
                state["step"] += 1
                mean = state["momentum"].lerp_(grad, 1 - _MOMENTUM)
                towards = grad.lerp(mean, _MOMENTUM).reshape(grad.shape[0], -1)
                alike[(*towards.shape, group["lr"])].append((parameter, towards))
                parameter.grad = None  # so Adam leaves it alone
        for (m, n, lr), steps in alike.items():  # those of a shape at once
            whole = torch.stack([towards for _, towards in steps])
            along = orthogonal(whole, torch.bfloat16 if self.bf16 else whole.dtype)
            for (parameter, _), own in zip(steps, along, strict=True):
                parameter.sub_(own.reshape(parameter.shape), alpha=lr * _LENGTH * max(m, n) ** 0.5)
        super().step()


def orthogonal(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Almost `U V'` of `X = U S V'`: five Newton-Schulz iterations, in a type.

        X <- a X + (b X X' + c (X X')²) X

    brings the singular values of X / |X| that are above 0.002 to between 0.68 and 1.2. Smaller ones
    grow up to 485 times.

    Shapes: (K, m, n) -> the same, in the type of x.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    upright = x.shape[-2] > x.shape[-1]
    y = (x.mT if upright else x).to(dtype)
    y = y / (y.flatten(1).norm(dim=1)[:, None, None] + 1e-7)
    for _ in range(5):
        square = y @ y.mT
        y = a * y + (b * square + c * square @ square) @ y
    found: Tensor = (y.mT if upright else y).to(x.dtype)
    return found


def has_orthogonal_steps(name: str, parameter: Tensor) -> bool:
    """Whether a parameter is a kernel inside a network of the flows, which takes Muon's steps.

    The last layer of a network starts at zero and sets a scale, guides train apart, and the 1×1
    convolutions of the flows must stay invertible: Adam updates these.
    """
    ends = {"last", "injections", "head"} & {*name.split(".")}
    return parameter.ndim == 4 and not ends and not name.startswith(GUIDE)


# --- averaged weights -----------------------------------------------------------------------------


class EMA:
    """A second model, in `eval()`: an exponential moving average of the trained weights.

    At first the rate is `(1 + n) / (10 + n)` after n updates, so that the poor weights of the first
    steps are soon forgotten. (Paper appendix B: rate 0.999.)
    """

    def __init__(self, model: CAFlow, rate: float) -> None:
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.rate, self.updates = rate, 0
        self._source = model
        # Listed once: to walk through all modules in every step takes longer than to average.
        self._parameters = list[Tensor](self.model.parameters()), list[Tensor](model.parameters())

    @torch.no_grad()
    def update(self) -> None:
        rate = min(self.rate, (1 + self.updates) / (10 + self.updates)) if self.updates else 0.0
        torch._foreach_lerp_(*self._parameters, 1 - rate)
        # Anew: a model that is wrapped for several processes gets new buffers.
        for average, buffer in zip(self.model.buffers(), self._source.buffers(), strict=True):
            average.copy_(buffer)
        self.updates += 1


# --- bad steps ------------------------------------------------------------------------------------

_BAD_IN_A_ROW = 20  # so many bad steps, and the run goes back
_JUMP = 1.0  # bits/dim above the running mean: a bad step
_SMOOTHING = 0.05  # of the running mean


@dataclass
class Guard:
    """Checks every step.

    A step is bad, and is skipped, if its loss or the norm of its gradient is not finite, or if the
    loss lies more than 1 bit/dim above its running mean. After 20 bad steps in a row the run goes
    back to a state (`Trainer.roll_back`).
    """

    mean: float | None = None  # running mean of the loss, bits/dim; None: of another kind so far
    bad_in_a_row: int = 0
    skipped: int = 0
    rollbacks: int = 0
    returned_to: int = -1  # the step of the state of the last rollback,
    returns: int = 0  # and how often in a row it was this one

    def accepts(self, loss: float, grad_norm: float) -> bool:
        jumped = self.mean is not None and loss > self.mean + _JUMP
        if not math.isfinite(loss) or not math.isfinite(grad_norm) or jumped:
            self.skipped += 1
            self.bad_in_a_row += 1
            return False
        self.bad_in_a_row = 0
        self.mean = loss if self.mean is None else self.mean + _SMOOTHING * (loss - self.mean)
        return True

    def wants_rollback(self) -> bool:
        return self.bad_in_a_row >= _BAD_IN_A_ROW
