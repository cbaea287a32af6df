"""The phases of a run: their loss, learning rate, trained parameters, and end."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import Tensor

from ..config import FlowConfig
from .config import OptimConfig, SamplesConfig
from .losses import (
    ImageLoss,
    Objective,
    SampleLoss,
    guide_loss,
    image_loss,
    likelihood,
    likelihood_and_samples,
    sample_loss,
)

GUIDE = "A.guide."  # begins the names of a guide's parameters

_FLOOR = 0.01  # "cosine" and the decay of "stable" end at this share of the peak
_WARMUP_SHARE, _LEAST_WARMUP = 0.2, 150  # of the budget, and in steps
_PAPER_DECAY, _PAPER_DROP_STEP, _PAPER_DROP = 0.999, 70_000, 0.1
_FAST_WIDTH = 16  # channels of a 1×1 convolution, above which it gets a smaller rate


def learning_rate(optim: OptimConfig, step: int, progress: float, epoch: int) -> float:
    """The learning rate of a step: linear warm-up to `lr`, times the factor of `schedule`.

    The warm-up takes `warmup` steps. Under "cosine" it takes at most a fifth of the budget, so that
    a short run has time left to train. But it takes at least 150 steps, unless `warmup` is smaller,
    because weights that have hardly moved diverge at the full rate.

        cosine   f + (1 - f) (1 + cos(π progress)) / 2         f = 0.01
        stable   1; from progress 1 - s on f + (1 - f) (1 - √((progress - 1 + s) / s)),
                                                               s = decay_share
        paper    0.999^epoch, and times 0.1 from step 70,000 on

    "stable" (Hägele et al. 2024) does not depend on the budget before its decay: a larger budget
    changes no step that has been made, unless a guide trains first, for a share of the budget.

    The paper (appendix B) names PyTorch's StepLR with γ = 0.999 and a drop to a tenth "around 70K
    iterations", once. We assume that γ is applied once per epoch. Applied at every step, it would
    have ended training long before.

    Steps count from 0; progress is the share of the budget that is spent, in images or in time.
    """
    warm = (step + 1) / max(1, optim.warmup)
    peak = optim.lr * min(1.0, warm)
    progress = min(1.0, max(0.0, progress))
    if optim.schedule == "paper":
        return peak * (_PAPER_DROP if step >= _PAPER_DROP_STEP else 1.0) * _PAPER_DECAY**epoch
    if optim.schedule == "cosine":
        short = min(progress / _WARMUP_SHARE, (step + 1) / _LEAST_WARMUP)
        peak = optim.lr * min(1.0, max(warm, short))
        factor = 0.5 * (1 + math.cos(math.pi * progress))
    else:
        begin = 1 - optim.decay_share
        late = progress > begin
        factor = 1 - math.sqrt((progress - begin) / optim.decay_share) if late else 1.0
    return peak * (_FLOOR + (1 - _FLOOR) * factor)


@dataclass(frozen=True)
class Phase:
    """A part of a run's budget in which some parameters learn from one loss."""

    name: str  # for notes: "guide (L1)", "flows"
    objective: Objective  # the loss, and its
    optim: OptimConfig  # peak and schedule of the learning rate
    begin: float  # shares of the run's budget, at which the phase begins
    end: float  # and ends
    # The guide is trained, alone. Otherwise everything else is: actnorms are set when the phase
    # begins, and the model is validated during the phase.
    guide_alone: bool = False
    unit: str = "bits/dim"  # of the loss
    samples: SampleLoss | None = None  # the loss on samples that is a part of it, if there is one,
    weight: float = 0.0  # times this
    fast_width: int = _FAST_WIDTH  # a C×C matrix gets min(1, this / C) of the rate; 0: all of it

    def rate(self, step: int, spent: float, epoch: int) -> float:
        """The learning rate of a step of the phase, when this share of the budget is spent."""
        progress = (spent - self.begin) / (self.end - self.begin)
        return learning_rate(self.optim, step, progress, epoch)

    def share(self, name: str, parameter: Tensor) -> float:
        """A parameter's share of the learning rate, by its name and value. 0: it does not learn.

        A step of Adam moves every entry of a C×C matrix by about the rate, and the matrix's effect
        on a pixel by up to C times the rate. Wide 1×1 convolutions would limit the rate for all
        others, so their factors get `min(1, 16 / C)` of it, except in presets of the paper.
        """
        if self.guide_alone or name.startswith(GUIDE):
            return float(self.guide_alone and name.startswith(GUIDE))
        if name.endswith("invconv.lu") and self.fast_width > 0:
            return min(1.0, self.fast_width / len(parameter))
        return 1.0


def phases_of(
    optim: OptimConfig,
    flow: FlowConfig,
    samples: SamplesConfig,
    perceptual: Callable[[], ImageLoss] | None = None,
) -> list[Phase]:
    """The phases that a config asks for, in order. `perceptual` loads LPIPS, if one needs it.

    A guide trains first and alone, with its own rate and schedule: on L1, then on L1 and LPIPS.
    Then it is fixed, and everything else is trained by likelihood, at the end with a loss on
    samples as well.
    """
    guide_lpips = optim.guide_first > 0 and optim.guide_perceptual > 0
    sample_lpips = samples.share > 0 and samples.perceptual > 0
    distance = perceptual() if perceptual and (guide_lpips or sample_lpips) else None
    phases: list[Phase] = []
    if flow.guides:
        # After the first cosine, half of its rate.
        first, second = (
            replace(optim, schedule="cosine", lr=lr)
            for lr in (optim.guide_first_lr, optim.guide_first_lr / 2)
        )
        middle = optim.guide_first * (optim.guide_perceptual_from if guide_lpips else 1.0)
        l1 = guide_loss(image_loss())
        phases.append(Phase("guide (L1)", l1, first, 0.0, middle, True, "L1"))
        if guide_lpips:
            images = image_loss(distance, optim.guide_perceptual, optim.checkerboard_weight)
            name, unit, loss = "guide (L1 and LPIPS)", "L1 and LPIPS", guide_loss(images)
            phases.append(Phase(name, loss, second, middle, optim.guide_first, True, unit))
    flows = Phase(
        "flows",
        likelihood(optim.cond_weight),
        optim,
        begin=optim.guide_first,
        end=1.0 - samples.share,
        fast_width=0 if optim.schedule == "paper" else _FAST_WIDTH,
    )
    phases.append(flows)
    if samples.share > 0:
        looks = distance if samples.perceptual else None
        images = image_loss(looks, samples.perceptual, samples.checkerboard_weight)
        losses = sample_loss(images, samples.tau)
        last = replace(
            flows,
            name="flows with a loss on samples",
            objective=likelihood_and_samples(optim.cond_weight, samples.weight, losses),
            optim=replace(optim, schedule="cosine", lr=samples.lr),
            begin=flows.end,
            end=1.0,
            samples=losses,
            weight=samples.weight,
        )
        phases.append(last)
    return phases
