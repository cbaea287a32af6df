"""The losses of a run: likelihood, the guide's image, and antithetic samples."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..devices import memory_format, to_float64, to_layout
from ..errors import check_usage
from ..model import CAFlow, bits_per_dim
from ..perceptual import LEAST_SIDE, VGG, load_perceptual
from ..tasks import get_task
from .data import SAMPLED, Batch


class Loss(NamedTuple):
    """Means over a batch or a part of it, as float64 scalars."""

    loss: Tensor  # to minimise
    bits_per_dim: Tensor  # of log p(w|y) alone; of a loss in other units, that
    cond_bits_per_dim: Tensor  # of log p(y), per dimension of y; 0 where there is none
    image: Tensor  # the loss on images; 0 where there is none


Objective = Callable[[CAFlow, Batch], Loss]
ImageLoss = Callable[[Tensor, Tensor], Tensor]  # of images in [-1, 1], (B, 3, H, W) to (B,)
# The losses (B,) on samples for a target and a condition, with seeds (B,).
SampleLoss = Callable[[CAFlow, Tensor, Tensor, Tensor], Tensor]


class LossModule(nn.Module):
    """An objective as a module, because `DistributedDataParallel` supports only `forward`."""

    def __init__(self, model: CAFlow, objective: Objective) -> None:
        super().__init__()
        self.model, self.objective = model, objective

    def forward(self, target: Tensor, cond: Tensor, noise: Tensor, seeds: Tensor) -> Loss:
        return self.objective(self.model, Batch(target, cond, noise, seeds))


def likelihood(cond_weight: float) -> Objective:
    """`-(log p(w|y) + λ log p(y)) / (dim(w) ln 2)`, with λ = `cond_weight`: the paper's loss."""

    def objective(model: CAFlow, batch: Batch) -> Loss:
        terms = model(*batch.points)
        log_prob, cond_log_prob = terms.log_prob.mean(), terms.cond_log_prob.mean()
        dims = batch.target[0].numel()
        bits = bits_per_dim(log_prob, dims)
        return Loss(
            loss=bits + bits_per_dim(cond_weight * cond_log_prob, dims),
            bits_per_dim=bits,
            cond_bits_per_dim=bits_per_dim(cond_log_prob, batch.cond[0].numel()),
            image=torch.zeros_like(bits),
        )

    return objective


def likelihood_and_samples(cond_weight: float, weight: float, losses: SampleLoss) -> Objective:
    """`likelihood`, and `weight` times a loss on samples for some images of the batch."""
    density = likelihood(cond_weight)

    def objective(model: CAFlow, batch: Batch) -> Loss:
        found = density(model, batch)
        some = batch.seeds >= 0
        if not some.any():
            return found
        lost = losses(model, batch.target[some], batch.cond[some], batch.seeds[some])
        # Over the images that a part of this size has on average: then the mean over parts is the
        # batch's, however it is divided.
        image = to_float64(lost.sum() * SAMPLED / len(some))
        return found._replace(loss=found.loss + weight * image, image=image)

    return objective


def sample_loss(images: ImageLoss, tau: float) -> SampleLoss:
    """The losses of means of two antithetic samples, of whole w and of y + u' (B, C, H, W).

    The two have latents z and -z at a temperature from U(0, `tau`), both from the image's seed.
    Their mean, composed as the task does it, is compared with w. So the middle of the samples, at
    the temperatures that are used, learns what images look like. Samples of one input become more
    alike: the part of their spread that is even in z blurs the mean. With `tau` 0 the loss is that
    of the τ 0 image.
    """

    def losses(model: CAFlow, target: Tensor, cond: Tensor, seeds: Tensor) -> Tensor:
        shapes = model.latent_shapes((cond.shape[-2], cond.shape[-1]))
        drawn = []
        for seed in seeds.tolist():
            generator = torch.Generator().manual_seed(seed)
            own = tau * torch.rand((), generator=generator)
            drawn.append([own * torch.randn(shape, generator=generator) for shape in shapes])
        latents = [torch.stack(z) for z in zip(*drawn, strict=True)]
        found = antithetic_mean(model, cond, latents, tau)
        composed = get_task(model.config).keep_known_points(cond.floor() + 0.5, found)
        return images(composed / 128 - 1, (target + 0.5) / 128 - 1)

    return losses


def antithetic_mean(model: CAFlow, cond: Tensor, latents: list[Tensor], tau: float) -> Tensor:
    """The mean of the images of latents z and -z: floats (B, C, H, W) in [0, 256].

    What is odd in z cancels. Gradients reach all parameters but R's density. At `tau` 0, the
    highest temperature of z, both images are the same, and one is computed.
    """
    y = to_layout(cond.to(model.device, model.dtype))
    if tau > 0:
        latents = [torch.stack([z, -z], dim=1).flatten(0, 1) for z in latents]
    latents = [to_layout(z.to(y)) for z in latents]
    v = model.density.inverse(latents, model.density.condition(y)[0])[0].clamp(0, 256)
    return (v[0::2] + v[1::2]) / 2 if tau > 0 else v


def guide_loss(images: ImageLoss) -> Objective:
    """The mean loss of the images that the guide predicts of y + u'."""

    def objective(model: CAFlow, batch: Batch) -> Loss:
        anchor = model.density.A
        predicted = anchor.predict(anchor.read(to_layout(batch.cond.to(model.device, model.dtype))))
        loss = to_float64(images(predicted / 128 - 1, (batch.target + 0.5) / 128 - 1).mean())
        return Loss(loss, loss, torch.zeros_like(loss), loss)

    return objective


def image_loss(
    perceptual: ImageLoss | None = None, weight: float = 0.0, checkerboard_weight: float = 0.0
) -> ImageLoss:
    """`mean |x - w| + weight d(x, w) + checkerboard_weight g(x)` of images x, w in [-1, 1], where d
    is `perceptual` and g is `checkerboard`."""

    def loss(x: Tensor, w: Tensor) -> Tensor:
        found = (x - w).abs().flatten(1).mean(1)
        if perceptual is not None:
            found = found + weight * perceptual(x, w)
        return found + checkerboard_weight * checkerboard(x) if checkerboard_weight else found

    return loss


def perceptual_distance(
    weights: str | Path | None, device: torch.device, side: int, bf16: bool = True
) -> ImageLoss:
    """LPIPS (VGG16) of pairs of images in [-1, 1], differentiable: (B, 3, H, W) to (B,) float32.

    It contains no AlexNet, which evaluates (`caflow evaluate --metric lpips`).

    Args:
        weights: Of the trunk (`load_perceptual`).
        device, side: Of the images.
        bf16: Compute the network in bfloat16.

    Raises:
        CaflowError: (exit 2) the images are too small for VGG16. (exit 3) there is no trunk.
    """
    hint = "--set optim.guide_perceptual=0 and samples.perceptual=0, or a task.size of"
    message = f"VGG16 cannot take images of {side} pixels"
    check_usage(side >= LEAST_SIDE, message, f"{hint} {LEAST_SIDE} or more")
    network = load_perceptual(VGG, weights).to(device, memory_format=memory_format(device))

    def distance(x: Tensor, w: Tensor) -> Tensor:
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            result: Tensor = network(x.float(), w.float())
        return result.float().flatten()

    return distance


_NEAR = 5  # fine detail: what differs from the mean of so many pixels squared
_CELLS = 7  # a block's side, in cells of a period


def checkerboard(x: Tensor, period: int = 4) -> Tensor:
    """Checkerboard artifacts: the RMS of the fine detail that repeats every `period` pixels, (B,).

        h = x - its mean over 5×5 pixels
        m_p = mean_k h[p + period k] over blocks of 7×7 cells, less its mean over the phases p
        checkerboard = √(mean of m_p² over phases, blocks and channels)

    A network that enlarges computes its pixels in cells of `period`, and LPIPS takes what repeats
    there for texture. In photographs fine detail is nearly independent of the phase, so only chance
    is left: a seventh of its standard deviation.

    Args:
        x: Images (B, C, H, W), whose sides hold at least one block: 32 pixels for a period of 4.
        period: In pixels.
    """
    edge = _NEAR // 2
    fine = x[..., edge:-edge, edge:-edge] - F.avg_pool2d(x, _NEAR, stride=1)
    height, width = (side // period * period for side in fine.shape[-2:])
    cells = F.pixel_unshuffle(fine[..., :height, :width], period)
    means = F.avg_pool2d(cells, _CELLS, stride=(_CELLS + 1) // 2)
    of_phases = means.unflatten(1, (x.shape[1], period**2))
    apart = of_phases - of_phases.mean(dim=2, keepdim=True)
    found: Tensor = (apart.square().flatten(1).mean(1) + 1e-8).sqrt()  # at 0 it has no gradient
    return found
