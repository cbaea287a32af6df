"""Helpers for tests of the mathematics: weights that are not the identity, images, flattening.

The last layer of a fresh net is zero, so a fresh flow is nearly the identity and hides sign errors.
"""

import copy
import functools
import itertools
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from caflow_cli.config import Config, FlowConfig, TaskConfig, Temperature
from caflow_cli.flows import noise_draws
from caflow_cli.layers import ActNorm, Conv, ConvNet, InvConv1x1
from caflow_cli.model import CAFlow
from caflow_cli.tasks import TASKS

# The record of training in a model file.
RECORD = {"images": 1000, "validation": {"bits_per_dim": 3.5}}


def generator(seed):
    return torch.Generator().manual_seed(seed)


def normal(shape, seed, dtype=torch.float64):
    return torch.randn(shape, generator=generator(seed), dtype=dtype)


def _add_noise(parameter, std, gen):
    noise = torch.randn(parameter.shape, generator=gen, dtype=torch.float64)
    parameter += (std * noise).to(parameter)


@torch.no_grad()
def randomize(module, seed=0, last=0.5, affine=0.2):
    """In place: every parameter away from its start; a fresh net has a `last` layer of 0."""
    gen = generator(seed)
    for child in module.modules():
        conv = child.last if isinstance(child, ConvNet) else getattr(child, "head", None)
        if conv is not None:
            _add_noise(conv.weight, last * conv.weight[0].numel() ** -0.5, gen)
            _add_noise(conv.bias, 0.4 * last, gen)
        elif isinstance(child, Conv) and child.bias is not None:
            _add_noise(child.bias, 0.2, gen)
        elif isinstance(child, ActNorm):
            _add_noise(child.bias, affine, gen)
            _add_noise(child.log_scale, affine, gen)
            child.initialized.fill_(True)
        elif isinstance(child, InvConv1x1):
            _add_noise(child.lu, affine * child.lu.shape[0] ** -0.5, gen)
            _add_noise(child.log_diag, affine, gen)
    return module


def seeded(build, seed):
    """`build()` under a global seed of its own: initialization draws from the global generator."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build()


@torch.no_grad()
def of_one_pixel(module):
    """In place: 3×3 convolutions as 1×1 ones, all that they are where the image is one pixel."""
    for child in module.modules():
        if isinstance(child, Conv):
            at = child.padding[0]
            child.weight = torch.nn.Parameter(child.weight[:, :, at, at, None, None].clone())
            child.kernel_size, child.padding = (1, 1), (0, 0)
    return module


def small_config(**flow):
    values = {"r_steps": 1, "t_steps": 2, "f_steps": 1, "hidden": 8, "f_hidden": 8} | flow
    return Config(flow=FlowConfig(**values))


def sizes(scales, **flow):
    """Of the smallest conditional flows, between images of one channel."""
    values = {"f_steps": 1, "f_hidden": 6, "target_channels": 1, "cond_channels": 1} | flow
    return FlowConfig(scales=scales, hidden=6, **values)


def task_config(name, size=32, **flow):
    """A small model's config for a task, with the condition that the task has by default."""
    config = small_config(cond_channels=TASKS[name].channels[0], **flow)
    return Config(config.flow, TaskConfig(name, size=size))


def guided_model():
    """A small model of superres of 32x32 with a guide and a spread."""
    return data_like_model(task_config("superres", guide=4, guide_net="unet", spread=4), 2, 32)


def broken(model, times):
    """The model with the weights of all but its guide multiplied: its samples diverge."""
    model = copy.deepcopy(model)
    for name, weight in model.named_parameters():
        if ".guide." not in name:
            weight.data *= times
    return model


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def smooth_image(batch, channels, size, seed):
    """uint8 images that look like blurred photographs: few edges, a little noise."""
    height, width = (size, size) if isinstance(size, int) else size
    gen = generator(seed)
    coarse = torch.rand((batch, channels, 4, 4), generator=gen) * 200 + 28
    image = F.interpolate(coarse, (height, width), mode="bicubic", align_corners=False)
    image = image + 3 * torch.randn(image.shape, generator=gen)
    return image.clamp(0, 255).to(torch.uint8)


def with_hole(target):
    """The condition of inpainting: gray in the central 25 %, and a channel that says where."""
    height, width = target.shape[-2:]
    mask = torch.zeros_like(target[:, :1])
    mask[..., height // 4 : 3 * height // 4, width // 4 : 3 * width // 4] = 255
    return torch.cat([target.where(mask == 0, torch.tensor(128, dtype=torch.uint8)), mask], dim=1)


def image_pair(model, batch, size, seed=11):
    """(target, condition), uint8; the condition is a blurred target where channels allow."""
    flow = model.config.flow
    target = smooth_image(batch, flow.target_channels, size, seed)
    if flow.anchor in ("pixels", "fill"):
        return target, with_hole(target)
    if flow.anchor == "luminance":
        weights = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
        return target, (target * weights).sum(1, keepdim=True).round().to(torch.uint8)
    if flow.target_channels == flow.cond_channels:
        cond = F.avg_pool2d(target.float(), 3, stride=1, padding=1, count_include_pad=False)
        return target, cond.round().to(torch.uint8)
    return target, smooth_image(batch, flow.cond_channels, size, seed + 1)


@torch.no_grad()
def data_like_model(config, seed, size, batch=4, last=0.1, affine=0.02):
    """A model like one after some training, float32, in `eval()`: a batch sets its actnorms."""
    model = seeded(lambda: CAFlow(config), seed)
    randomize(model, seed + 100, last, affine)
    for child in model.modules():
        if isinstance(child, ActNorm):
            child.initialized.fill_(False)
    target, cond = image_pair(model, batch, size, seed + 200)
    draw = torch.rand if model.Q is None else torch.randn
    noise = draw(target.shape, generator=generator(seed + 300))
    model.train()
    model(target.float(), cond + 0.5, noise)
    gen = generator(seed + 400)
    for child in model.modules():
        if isinstance(child, ActNorm):
            assert child.initialized
            _add_noise(child.bias, affine, gen)
            _add_noise(child.log_scale, affine, gen)
    return model.eval()


def settled(task, conditions, draws):
    """`task.keep_known` of every draw: uint8 (N, C, H, W) and (N, 3, H, W) to (N, 3, H, W)."""
    pairs = zip(conditions.permute(0, 2, 3, 1), draws.permute(0, 2, 3, 1), strict=True)
    images = [task.keep_known(y.numpy(), w.numpy()) for y, w in pairs]
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)


def draw(conditions, tau, seeds, first, count):
    """Draw `count` images of each condition, from its seed + first on."""
    each = [generator(seed + k) for seed in seeds for k in range(first, first + count)]
    return conditions.draw(Temperature.of(tau), each)


def noise_behind(model, seed, size, redraws):
    """The latents of a seed's generator after `redraws` earlier draws."""
    own = generator(seed)
    return [model.latent_noise(own, size) for _ in range(redraws + 1)][-1]


def double_of(model, **methods):
    """A copy with replaced methods `(self, own, *given)`, where `own` is the original method."""
    double = copy.copy(model)

    def replaced(name, method):
        own = getattr(type(model), name)
        return lambda self, *given, **more: method(
            self, functools.partial(own, self), *given, **more
        )

    double.__class__ = type(
        "Double", (type(model),), {name: replaced(name, one) for name, one in methods.items()}
    )
    return double


def tensors(value):
    """A tensor, or a list of tensors, as a list."""
    return [value] if isinstance(value, torch.Tensor) else list(value)


def flat(value):
    """(B, all dimensions) of a tensor or of a list of them."""
    return torch.cat([t.flatten(1) for t in tensors(value)], dim=1)


def unflat(values, like):
    """The inverse of `flat`, in the shapes of `like`."""
    parts = values.split([t[0].numel() for t in tensors(like)], dim=1)
    shaped = [part.reshape(-1, *t.shape[1:]) for part, t in zip(parts, tensors(like), strict=True)]
    return shaped[0] if isinstance(like, torch.Tensor) else shaped


def jacobian(function, value):
    """d flat(function(x)) / d flat(x) at `value`: (B, D, B, D)."""
    return torch.autograd.functional.jacobian(
        lambda x: flat(function(unflat(x, value))), flat(value)
    )


def repeated(cond, rows, times):
    """Select rows of a condition and repeat each `times` times; entries with one row stay."""
    if isinstance(cond, list | tuple):
        return getattr(cond, "_make", type(cond))([repeated(c, rows, times) for c in cond])
    if not isinstance(cond, torch.Tensor) or len(cond) == 1:
        return cond
    return cond[rows].repeat_interleave(times, dim=0)


def jacobian_of_image(function, value, cond, row):
    """d flat(f(x)) / d flat(x) of one image of a batch, (D, D), in one forward and backward pass.

    The image is repeated D times in a batch, and output k of copy k is differentiated. This equals
    `jacobian` if the images of a batch do not affect each other (`touched`).
    """
    dims = flat(value).shape[1]
    copies = repeated(tensors(value), [row], dims)
    x = flat(copies).requires_grad_()
    like = copies[0] if isinstance(value, torch.Tensor) else copies
    y, _ = function(unflat(x, like), repeated(cond, [row], dims))
    (rows,) = torch.autograd.grad(flat(y).diagonal().sum(), x)
    return rows


def touched(function, value, cond, row):
    """Which images of a batch the output of one depends on, in a random direction."""
    x = flat(value).requires_grad_()
    y = flat(function(unflat(x, value), cond)[0])[row]
    (gradient,) = torch.autograd.grad((y * normal(y.shape, 7)).sum(), x)
    return gradient.any(1).tolist()


def first_noise(shape, count, normal=False):
    """The first draws of a score's noise, (K, C, H, W)."""
    return torch.stack(list(itertools.islice(noise_draws(shape, normal=normal), count)))


def split_of(path: Path, split: str, size: int, *, seed: int = 0) -> tuple[list[str], Tensor]:
    """The names and images of a split of a data set: uint8 (N, 3, size, size)."""
    from caflow_cli.data.examples import open_split

    with open_split(path, split, size, seed=seed) as examples:
        images = [torch.from_numpy(examples.read(row)[0].copy()) for row in range(len(examples))]
    return examples.names, torch.stack(images).permute(0, 3, 1, 2)
