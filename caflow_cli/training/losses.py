"""The losses of training: of the likelihood, of samples and of a guide's image."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..devices import memory_format, to_float64, to_layout
from ..errors import check_usage
from ..layers import center
from ..model import CAFlow, bits_per_dim
from ..perceptual import LEAST_SIDE, VGG, checkerboard_energy, load_perceptual
from ..tasks import get_task
from .sets import SAMPLED, Batch


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
        terms = model(batch.target, batch.cond, batch.noise, width)
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
        if tau > 0:
            v = _decoded(model, drawn, (1, -1), cond, width)
            mean = (v[0::2] + v[1::2]) / 2
        else:
            mean = _decoded(model, drawn, (0,), cond, width)
        composed = get_task(model.config).keep_known_points(center(cond, width), mean)
        return images(composed / 128 - 1, (target + width / 2) / 128 - 1)

    return losses


def single_sample_loss(
    images: ImageLoss, perceptual: ImageLoss, weight: float, tau: float, width: float = 1.0
) -> SampleLoss:
    """Losses on two images for y + u': `images` on that of τ 0, and `weight` times `perceptual` on
    one sample at `tau`, whose latents the image's seed determines.

    The details of a sample need not be those of w. So this distance has a small weight, beside a
    likelihood that keeps the spread of the samples, as in the alternating steps of LINF (Yao et
    al. 2023), which compare features of VGG.
    """

    def losses(model: CAFlow, target: Tensor, cond: Tensor, seeds: Tensor) -> Tensor:
        size = (cond.shape[-2], cond.shape[-1])
        drawn = []
        for seed in seeds.tolist():
            generator = torch.Generator().manual_seed(seed)
            drawn.append([tau * z for z in model.latent_noise(generator, size)])
        v = _decoded(model, drawn, (0, 1), cond, width)
        keep_known_points = get_task(model.config).keep_known_points
        predicted = keep_known_points(center(cond, width), v[0::2]) / 128 - 1
        sample = keep_known_points(center(cond, width), v[1::2]) / 128 - 1
        w = (target + width / 2) / 128 - 1
        return images(predicted, w) + weight * perceptual(sample, w)

    return losses


def _decoded(
    model: CAFlow,
    drawn: list[list[Tensor]],
    factors: tuple[int, ...],
    cond: Tensor,
    width: float,
) -> Tensor:
    """The images of each factor times the latents z of each y + u', within [0, 256].

    Shapes: B lists of z, k factors and (B, C, H, W) -> (B k, 3, H, W), factors innermost.
    """
    y = to_layout(cond.to(model.device, model.dtype))
    condition, _ = model.density.condition(y, None, width)
    latents = []
    for z in zip(*drawn, strict=True):
        several = torch.stack([factor * torch.stack(z) for factor in factors], dim=1)
        latents.append(to_layout(several.flatten(0, 1).to(y)))
    v, _ = model.density.inverse(latents, condition)
    return v.clamp(0, 256)


def predicted_image(model: CAFlow, cond: Tensor, width: float = 1.0) -> Tensor:
    """The image that the guide predicts for y + u', which may lie outside [0, 256).

    Shapes: (B, C, H, W) -> (B, 3, H, W).
    """
    image: Tensor = model.density.A.expect(to_layout(cond.to(model.device, model.dtype)), width)
    return image


def guide_loss(images: ImageLoss, width: float = 1.0) -> Objective:
    """The mean loss between w and the images that the guide predicts from y + u'."""

    def objective(model: CAFlow, batch: Batch) -> Loss:
        predicted = predicted_image(model, batch.cond, width) / 128 - 1
        truth = (batch.target + width / 2) / 128 - 1
        loss = to_float64(images(predicted, truth).mean())
        return Loss(loss, loss, torch.zeros_like(loss), loss)

    return objective


def field_guide_loss(model: CAFlow, batch: Batch) -> Loss:
    """Minus the censored log-likelihood of fields whose cells are independent, in bits/dim."""
    y, v = (to_layout(x.to(model.device, model.dtype)) for x in (batch.cond, batch.target))
    anchor = model.density.A
    log_prob = anchor.log_prob_alone(v + to_layout(batch.noise.to(v)), anchor.read(y)).mean()
    loss = bits_per_dim(log_prob, v[0].numel())
    return Loss(loss, loss, torch.zeros_like(loss), torch.zeros_like(loss))


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
        "--set optim.guide_perceptual=0, samples.perceptual=0 and samples.single=0, or a "
        f"task.size of {LEAST_SIDE}",
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
