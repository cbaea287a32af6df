"""The phases of a run: their losses, learning rates, trained parameters, and ends."""

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
    field_guide_loss,
    guide_loss,
    image_loss,
    likelihood,
    sample_loss,
    single_sample_loss,
)

GUIDE = "A.guide."  # prefix of the names of a guide's parameters

_FLOOR = 0.01  # share of the peak at which "cosine" and the decay of "stable" end
_WARMUP_SHARE = 0.2  # maximum share of the budget,
_LEAST_WARMUP = 150  # and minimum steps
_PAPER_DECAY = 0.999
_PAPER_DROP_STEP = 70_000
_PAPER_DROP = 0.1
_FAST_WIDTH = 16  # number of channels above which a 1×1 convolution gets a smaller rate


def learning_rate(optim: OptimConfig, step: int, progress: float, epoch: int) -> float:
    """The learning rate of a step: linear warm-up to `lr`, times the factor of `schedule`.

    The warm-up takes `warmup` steps. Under "cosine" it takes at most a fifth of the budget, so that
    a short run has time left to train; but it takes at least 150 steps, unless `warmup` is less,
    because weights close to their initial values diverge at the full rate.

        cosine   f + (1 - f) (1 + cos(π progress)) / 2         f = 0.01
        stable   1; from progress 1 - s on f + (1 - f) (1 - √((progress - 1 + s) / s)),
                                                               s = decay_share
        paper    0.999^epoch, times 0.1 from step 70,000 on

    "stable" (Hägele et al. 2024) does not depend on the budget before its decay. So raising the
    budget changes no step already made, unless a guide trains first, for a share of the budget.

    The paper (appendix B) states PyTorch's StepLR with γ = 0.999 and one drop to a tenth "around
    70K iterations". We assume that γ is applied once per epoch: applied at every step, it would
    have ended training long before.

    `step` counts from 0; `progress` is the share of the budget spent, in images or in time.
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
    """A part of a run's budget in which a set of parameters trains on one loss."""

    name: str  # for notes: "guide (L1)", "flows"
    objective: Objective  # the loss
    optim: OptimConfig  # peak and schedule of the learning rate
    begin: float  # share of the run's budget at which the phase begins
    end: float  # share at which it ends
    # Whether only the guide trains. If not, everything else trains: actnorms are initialized when
    # the phase begins, and the model is validated during the phase.
    guide_alone: bool = False
    samples: SampleLoss | None = None  # the loss on samples in `objective`, if there is one,
    weight: float = 0.0  # and its weight

    @property
    def validates(self) -> bool:
        """Whether the model is validated: its flows train, or only its guide ever does."""
        return not self.guide_alone or self.optim.guide_first == 1

    def rate(self, step: int, spent: float, epoch: int) -> float:
        return learning_rate(
            self.optim, step, (spent - self.begin) / (self.end - self.begin), epoch
        )

    def share(self, name: str, parameter: Tensor) -> float:
        """A parameter's share of the learning rate; 0 if the parameter is frozen in this phase.

        A step of Adam moves every entry of a C×C matrix by about the rate, and the matrix's effect
        on a pixel by up to C times the rate. Wide 1×1 convolutions would limit the rate for all
        other parameters, so their factors get `min(1, 16 / C)` of it, except under "paper".
        """
        if self.guide_alone or name.startswith(GUIDE):
            return float(self.guide_alone and name.startswith(GUIDE))
        if name.endswith("invconv.lu") and self.optim.schedule != "paper":
            return min(1.0, _FAST_WIDTH / len(parameter))
        return 1.0


def phases_of(
    optim: OptimConfig,
    flow: FlowConfig,
    samples: SamplesConfig,
    perceptual: Callable[[], ImageLoss] | None = None,
    width: float = 1.0,
) -> list[Phase]:
    """The phases of a config, in order. `perceptual` loads LPIPS, if a phase needs it.

    A guide trains first and alone, with its own peak rate: on L1, then on L1 and LPIPS; that of a
    field on the likelihood of independent cells. After that it is frozen, and everything else
    trains on the likelihood, with a loss on samples added at the end. Guide and flows follow
    `optim.schedule`, each over its own share of the budget.
    """
    first = optim.guide_first or 0.0
    guide_lpips = first > 0 and (optim.guide_perceptual or 0.0) > 0
    sample_lpips = samples.share > 0 and samples.perceptual + samples.single > 0
    distance = perceptual() if perceptual and (guide_lpips or sample_lpips) else None
    phases = _of_guide(optim, flow, distance, width) if flow.guides else []
    end = 1.0 - samples.share
    # What R reads of a field is flat without noise, so its density has no bound.
    cond_weight = 0.0 if flow.guide_spec.of_field else optim.cond_weight
    phases.append(Phase("flows", likelihood(cond_weight, width=width), optim, first, end))
    if samples.share > 0:
        images = image_loss(distance, samples.perceptual, samples.checkerboard_weight)
        if samples.single and distance:
            losses = single_sample_loss(images, distance, samples.single, samples.tau, width)
        else:
            losses = sample_loss(images, samples.tau, width)
        phases.append(
            Phase(
                "flows with a loss on samples",
                likelihood(cond_weight, losses, samples.weight, width),
                replace(optim, schedule="cosine", lr=samples.lr),
                begin=end,
                end=1.0,
                samples=losses,
                weight=samples.weight,
            )
        )
    return phases


def _of_guide(
    optim: OptimConfig, flow: FlowConfig, distance: ImageLoss | None, width: float
) -> list[Phase]:
    """The phases in which the guide trains alone; `distance` is LPIPS."""
    first = optim.guide_first or 0.0
    rate = optim.guide_first_lr or flow.guide_spec.rate
    weight = optim.guide_perceptual or 0.0
    lpips = first > 0 and weight > 0
    middle = first * (optim.guide_perceptual_from if lpips else 1.0)
    of_field = flow.guide_spec.of_field
    begin = Phase(
        "guide (likelihood)" if of_field else "guide (L1)",
        field_guide_loss if of_field else guide_loss(image_loss(), width),
        replace(optim, lr=rate),
        begin=0.0,
        end=middle,
        guide_alone=True,
    )
    if not lpips:
        return [begin]
    images = image_loss(distance, weight, optim.checkerboard_weight)
    more = Phase(
        "guide (L1 and LPIPS)",
        guide_loss(images, width),
        replace(optim, lr=rate / 2),
        begin=middle,
        end=first,
        guide_alone=True,
    )
    return [begin, more]
