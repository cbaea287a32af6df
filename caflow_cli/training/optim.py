"""The optimizer: parameter groups, Muon, averaged weights, and rejection of bad steps."""

import copy
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..layers import Conv
from ..model import CAFlow
from ..records import Table
from .phases import GUIDE, Phase


def named_parameters(model: CAFlow) -> dict[str, nn.Parameter]:
    """The parameters by their names in model files, such as `A.guide.head.weight`, in order."""
    return {name.removeprefix("density."): p for name, p in model.named_parameters()}


def parameter_groups(model: CAFlow, phases: Sequence[Phase], method: str) -> list[Table]:
    """Group the parameters by their shares of the learning rate in each phase (key `shares`).

    With `method` "muon", the key `orthogonal` marks the groups that Muon updates.
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
    """Run the networks in bfloat16 in `train()`. Scores and samples never use bfloat16."""
    for module in model.modules():
        if isinstance(module, Conv):
            module.bf16 = enabled


# --- Muon -----------------------------------------------------------------------------------------

_MOMENTUM = 0.95
_LENGTH = 0.2  # RMS of a step in units of the learning rate, about the same as Adam's


class Muon(torch.optim.Adam):
    """Adam, with Muon (Jordan et al. 2024) for the parameter groups that set `orthogonal`.

        M <- μ M + (1 - μ) G,  U = μ M + (1 - μ) G
        W <- W - η 0.2 √max(m, n) orthogonal(U)

    for a kernel W reshaped to m×n, outputs by inputs, with μ = 0.95. All singular values of an
    update are nearly equal, whereas a few dominate in Adam's. Its scale (Liu et al. 2025) lets one
    learning rate η suit both rules. Unlike the published rule it has no weight decay, which was
    not tried here. `bf16` runs `orthogonal` in bfloat16.
    """

    def __init__(self, params: Any, *, bf16: bool = False, **options: Any) -> None:
        super().__init__(params, **options)
        self.bf16 = bf16

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient. Closures are not supported."""
        alike: dict[tuple[int, int, float], list[tuple[Tensor, Tensor]]] = defaultdict(list)
        for group in self.param_groups:
            for parameter in group["params"] if group.get("orthogonal") else ():
                if (grad := parameter.grad) is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["step"] = torch.zeros(())  # Adam expects it in every state that it loads
                    state["momentum"] = torch.zeros_like(parameter)
                state["step"] += 1
                mean = state["momentum"].lerp_(grad, 1 - _MOMENTUM)
                towards = grad.lerp(mean, _MOMENTUM).reshape(grad.shape[0], -1)
                alike[(*towards.shape, group["lr"])].append((parameter, towards))
                parameter.grad = None  # so that Adam skips it
        for (m, n, lr), steps in alike.items():  # all of one shape as a batch
            whole = torch.stack([towards for _, towards in steps])
            along = orthogonal(whole, torch.bfloat16 if self.bf16 else whole.dtype)
            for (parameter, _), direction in zip(steps, along, strict=True):
                step = direction.reshape(parameter.shape)
                parameter.sub_(step, alpha=lr * _LENGTH * max(m, n) ** 0.5)
        super().step()


def orthogonal(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Approximate `U V'` of `X = U S V'` by five Newton-Schulz iterations, computed in `dtype`.

        X <- a X + (b X X' + c (X X')²) X

    They bring all singular values of X / |X| that are above 0.002 to between 0.68 and 1.2, and
    scale smaller ones by up to 485.

    Shapes: (K, m, n) -> the same, in the dtype of x.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    upright = x.shape[-2] > x.shape[-1]
    y: Tensor = (x.mT if upright else x).to(dtype)
    y = y / (y.flatten(1).norm(dim=1)[:, None, None] + 1e-7)
    for _ in range(5):
        square = y @ y.mT
        y = a * y + (b * square + c * square @ square) @ y
    return (y.mT if upright else y).to(x.dtype)


def has_orthogonal_steps(name: str, parameter: Tensor) -> bool:
    """Whether Muon updates a parameter: it is a kernel inside a network of the flows.

    Adam updates the last layer of a network, which starts at zero and sets a scale; guides, which
    train separately; and the 1×1 convolutions of the flows, which must stay invertible.
    """
    ends = {"last", "injections", "head"} & {*name.split(".")}
    return parameter.ndim == 4 and not ends and not name.startswith(GUIDE)


# --- averaged weights -----------------------------------------------------------------------------


class EMA:
    """A second model, in `eval()`: an exponential moving average of the trained weights.

    After n > 0 updates the decay rate is `min(rate, (1 + n) / (10 + n))`, so that the poor weights
    of the first steps are soon forgotten. (Paper appendix B: rate 0.999.)
    """

    def __init__(self, model: CAFlow, rate: float) -> None:
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.rate = rate
        self.updates = 0
        self._source = model
        # Listed once: walking through all modules in every step takes longer than averaging.
        averages = list[Tensor](self.model.parameters())
        self._parameters = averages, list[Tensor](model.parameters())

    @torch.no_grad()
    def update(self) -> None:
        n = self.updates
        rate = min(self.rate, (1 + n) / (10 + n)) if n else 0.0
        torch._foreach_lerp_(*self._parameters, 1 - rate)
        # Not listed once: a model that is wrapped for several processes gets new buffers.
        for average, buffer in zip(self.model.buffers(), self._source.buffers(), strict=True):
            average.copy_(buffer)
        self.updates += 1


# --- bad steps ------------------------------------------------------------------------------------

_BAD_IN_A_ROW = 20  # consecutive bad steps that end a run
_BACK_AFTER = 4  # of these, training goes on from the averaged weights
# A step is bad if its loss exceeds the running mean by more than both of these.
_JUMP = 1.0
_DEVIATIONS = 8.0  # in mean absolute deviations: the losses of degraded images differ much
_SMOOTHING = 0.05  # weight of a new loss in the running mean


@dataclass
class Guard:
    """Accepts or rejects every step.

    A step is bad, and is skipped, if its loss or gradient norm is not finite, or if its loss is
    more than 1 (in likelihood phases, 1 bit/dim) and more than 8 mean absolute deviations above
    the running mean. After every 4 bad steps in a row training goes on from the averaged weights;
    after 20 the run ends with an error.
    """

    mean: float | None = None  # running mean of the phase's loss; None: no step accepted yet
    deviation: float = 0.0  # running mean of the loss's absolute deviation from `mean`
    bad_in_a_row: int = 0
    skipped: int = 0

    def accepts(self, loss: float, grad_norm: float) -> bool:
        jump = 0.0 if self.mean is None else loss - self.mean
        jumped = jump > max(_JUMP, _DEVIATIONS * self.deviation)
        if not math.isfinite(loss) or not math.isfinite(grad_norm) or jumped:
            self.skipped += 1
            self.bad_in_a_row += 1
            return False
        self.bad_in_a_row = 0
        if self.mean is None:  # the deviation is not known yet: begin with a large one
            self.mean, self.deviation = loss, abs(loss)
        self.mean += _SMOOTHING * jump
        self.deviation += _SMOOTHING * (abs(jump) - self.deviation)
        return True

    def goes_back(self) -> bool:
        return self.bad_in_a_row > 0 and self.bad_in_a_row % _BACK_AFTER == 0

    def gives_up(self) -> bool:
        return self.bad_in_a_row >= _BAD_IN_A_ROW
