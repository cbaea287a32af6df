"""The phases of a run: their losses, learning rates, trained parameters, and ends."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..config import FlowConfig
from ..devices import memory_format, to_float64, to_layout
from ..errors import check_usage
from ..layers import center
from ..model import CAFlow, bits_per_dim
from ..perceptual import LEAST_SIDE, VGG, checkerboard_energy, load_perceptual
from ..tasks import get_task
from .config import OptimConfig, SamplesConfig
from .data import SAMPLED, Batch

GUIDE = "A.guide."  # prefix of the names of a guide's parameters

_FLOOR = 0.01  # share of the peak at which "cosine" and the decay of "stable" end
_WARMUP_SHARE = 0.2  # maximum share of the budget,
_LEAST_WARMUP = 150  # and minimum steps
_PAPER_DECAY = 0.999
_PAPER_DROP_STEP = 70_000
_PAPER_DROP = 0.1
_FAST_WIDTH = 16  # number of channels above which a 1×1 convolution gets a smaller rate


# --- losses ---------------------------------------------------------------------------------------


class Loss(NamedTuple):
    """Means over a batch or a part of it, as float64 scalars."""

    loss: Tensor  # to minimize
    bits_per_dim: Tensor  # of log p(w|y) alone; the loss itself if it has other units
    cond_bits_per_dim: Tensor  # of log p(y), per dimension of y; 0 if it is not part of the loss
    image: Tensor  # the loss on images; 0 if there is none


Objective = Callable[[CAFlow, Batch], Loss]
ImageLoss = Callable[[Tensor, Tensor], Tensor]  # images in [-1, 1], (B, 3, H, W), to losses (B,)
# Model, targets, conditions and seeds (B,) to the losses on samples, (B,).
SampleLoss = Callable[[CAFlow, Tensor, Tensor, Tensor], Tensor]


class LossModule(nn.Module):
    """Wraps an objective in a module, because `DistributedDataParallel` supports only `forward`."""

    def __init__(self, model: CAFlow, objective: Objective) -> None:
        super().__init__()
        self.model = model
        self.objective = objective

    def forward(self, *batch: Tensor) -> Loss:
        return self.objective(self.model, Batch(*batch))


def likelihood(
    cond_weight: float,
    samples: SampleLoss | None = None,
    weight: float = 0.0,
    width: float = 1.0,
) -> Objective:
    """The paper's loss: `-(log p(w|y) + λ log p(y)) / (dim(w) ln 2)`, λ = `cond_weight`; bits/dim.

    If `samples` is given, `weight` times this loss is added, for some images of the batch. `width`
    is that of bins.
    """

    def objective(model: CAFlow, batch: Batch) -> Loss:
        terms = model(batch.target, batch.cond, batch.noise, batch.expected, width)
        log_prob = terms.log_prob.mean()
        cond_log_prob = terms.cond_log_prob.mean()
        dims = batch.target[0].numel()
        bits = bits_per_dim(log_prob, dims)
        image = torch.zeros_like(log_prob)
        loss = bits + bits_per_dim(cond_weight * cond_log_prob, dims)
        some = batch.seeds >= 0
        if samples is not None and some.any():
            lost = samples(model, batch.target[some], batch.cond[some], batch.seeds[some])
            # Divide by the number of sampled images that a part of this size has on average, so
            # that the mean over parts is that of the batch, however it is divided.
            image = to_float64(lost.sum() * SAMPLED / len(some))
            loss = loss + weight * image
        return Loss(loss, bits, bits_per_dim(cond_log_prob, batch.cond[0].numel()), image)

    return objective


def sample_loss(images: ImageLoss, tau: float, width: float = 1.0) -> SampleLoss:
    """A loss between w and the mean of two antithetic samples for y + u', both (B, C, H, W).

    The samples have latents z and -z, at a temperature drawn from U(0, `tau`); the image's seed
    determines both. Terms odd in z cancel in their mean, which is composed with the condition as
    the task does it, and compared with w. So the center of the samples learns to look like an
    image, at the temperatures in use. Samples of one input become more alike, because the part of
    their spread that is even in z blurs the mean. With `tau` 0 only one sample is computed.
    Gradients reach all trained parameters; the density of y under R is not part of the loss.
    """

    def losses(model: CAFlow, target: Tensor, cond: Tensor, seeds: Tensor) -> Tensor:
        size = (cond.shape[-2], cond.shape[-1])
        drawn = []
        for seed in seeds.tolist():
            generator = torch.Generator().manual_seed(seed)
            scale = tau * torch.rand((), generator=generator)
            drawn.append([scale * z for z in model.latent_noise(generator, size)])
        latents = [torch.stack(z) for z in zip(*drawn, strict=True)]
        if tau > 0:
            latents = [torch.stack([z, -z], dim=1).flatten(0, 1) for z in latents]
        y = to_layout(cond.to(model.device, model.dtype))
        latents = [to_layout(z.to(y)) for z in latents]
        condition, _ = model.density.condition(y, None, width)
        v, _ = model.density.inverse(latents, condition)
        v = v.clamp(0, 256)
        mean = (v[0::2] + v[1::2]) / 2 if tau > 0 else v
        composed = get_task(model.config).keep_known_points(center(cond, width), mean)
        return images(composed / 128 - 1, (target + width / 2) / 128 - 1)

    return losses


def predicted_image(model: CAFlow, cond: Tensor, width: float = 1.0) -> Tensor:
    """The image that the guide predicts for y + u', which may lie outside [0, 256).

    Shapes: (B, C, H, W) -> (B, 3, H, W).
    """
    return model.density.A.expect(to_layout(cond.to(model.device, model.dtype)), width)


def guide_loss(images: ImageLoss, width: float = 1.0) -> Objective:
    """The mean loss between w and the images that the guide predicts from y + u'."""

    def objective(model: CAFlow, batch: Batch) -> Loss:
        predicted = predicted_image(model, batch.cond, width) / 128 - 1
        truth = (batch.target + width / 2) / 128 - 1
        loss = to_float64(images(predicted, truth).mean())
        return Loss(loss, loss, torch.zeros_like(loss), loss)

    return objective


def image_loss(
    perceptual: ImageLoss | None = None, weight: float = 0.0, checkerboard_weight: float = 0.0
) -> ImageLoss:
    """`mean |x - w| + weight d(x, w) + checkerboard_weight g(x)` for images x, w in [-1, 1], with d
    = `perceptual` and g = `checkerboard`."""

    def loss(x: Tensor, w: Tensor) -> Tensor:
        total = (x - w).abs().flatten(1).mean(1)
        if perceptual is not None and weight:
            total = total + weight * perceptual(x, w)
        if checkerboard_weight:
            total = total + checkerboard_weight * checkerboard(x)
        return total

    return loss


def perceptual_distance(
    weights: str | Path | None, device: torch.device, side: int, bf16: bool = True
) -> ImageLoss:
    """LPIPS (VGG16) of pairs of images in [-1, 1], differentiable: (B, 3, H, W) to (B,) float32.

    It does not use AlexNet, which is kept for evaluation (`caflow evaluate --metric lpips`).

    Args:
        weights: File of the trunk (`load_perceptual`).
        device, side: The device and side of the images.
        bf16: Compute the network in bfloat16.

    Raises:
        CaflowError: (exit 2) the images are too small for VGG16. (exit 3) the trunk is missing.
    """
    check_usage(
        side >= LEAST_SIDE,
        f"VGG16 cannot take images of {side} pixels",
        f"--set optim.guide_perceptual=0 and samples.perceptual=0, or a task.size of {LEAST_SIDE}",
    )
    network = load_perceptual(VGG, weights).to(device, memory_format=memory_format(device))

    def distance(x: Tensor, w: Tensor) -> Tensor:
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            result: Tensor = network(x.float(), w.float())
        return result.float().flatten()

    return distance


def checkerboard(x: Tensor) -> Tensor:
    """The RMS of checkerboard artifacts in images (B, C, H, W), by `checkerboard_energy`: (B,)."""
    return torch.sqrt(checkerboard_energy(x)[0] + 1e-8)  # sqrt has no gradient at 0


# --- phases ---------------------------------------------------------------------------------------


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

    A guide trains first and alone, with its own peak rate: on L1, then on L1 and LPIPS. After that
    it is frozen, and everything else trains on the likelihood, with a loss on samples added at the
    end. Guide and flows follow `optim.schedule`, each over its own share of the budget.
    """
    first = optim.guide_first or 0.0
    rate = optim.guide_first_lr or flow.guide_spec.rate
    perceptual_weight = optim.guide_perceptual or 0.0
    guide_lpips = first > 0 and perceptual_weight > 0
    sample_lpips = samples.share > 0 and samples.perceptual > 0
    distance = perceptual() if perceptual and (guide_lpips or sample_lpips) else None
    phases = []
    if flow.guides:
        middle = first * (optim.guide_perceptual_from if guide_lpips else 1.0)
        phases.append(
            Phase(
                "guide (L1)",
                guide_loss(image_loss(), width),
                replace(optim, lr=rate),
                begin=0.0,
                end=middle,
                guide_alone=True,
            )
        )
        if guide_lpips:
            images = image_loss(distance, perceptual_weight, optim.checkerboard_weight)
            phases.append(
                Phase(
                    "guide (L1 and LPIPS)",
                    guide_loss(images, width),
                    replace(optim, lr=rate / 2),
                    begin=middle,
                    end=first,
                    guide_alone=True,
                )
            )
    end = 1.0 - samples.share
    phases.append(Phase("flows", likelihood(optim.cond_weight, width=width), optim, first, end))
    if samples.share > 0:
        images = image_loss(distance, samples.perceptual, samples.checkerboard_weight)
        losses = sample_loss(images, samples.tau, width)
        phases.append(
            Phase(
                "flows with a loss on samples",
                likelihood(optim.cond_weight, losses, samples.weight, width),
                replace(optim, schedule="cosine", lr=samples.lr),
                begin=end,
                end=1.0,
                samples=losses,
                weight=samples.weight,
            )
        )
    return phases
