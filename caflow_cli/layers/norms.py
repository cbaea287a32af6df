"""Normalization over an image, also if it is read in parts."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
import torch.nn.functional as F
from torch import Tensor


class Moments:
    """Mean and variance of every `group_norm` of a net, recorded in one pass for later ones.

    An image that is too large for one pass is read in parts. If each part were normalized by its
    own moments, neighbors would differ in their overlap. So a first pass records the moments over
    a sample of patches, and every part is then normalized by these.
    """

    def __init__(self) -> None:
        self._recorded: list[tuple[Tensor, Tensor]] = []
        self._replayed: Iterator[tuple[Tensor, Tensor]] | None = None

    @contextmanager
    def of_pass(self) -> Iterator[None]:
        """Context of one pass of the net. The first pass records, over its batch as one image."""
        self._replayed = iter(self._recorded) if self._recorded else None
        token = _active.set(self)
        try:
            yield
        finally:
            _active.reset(token)

    def normalize(self, h: Tensor, groups: int) -> Tensor:
        """`group_norm` with the recorded moments of this layer: (B, C, H, W) -> the same."""
        values = h.unflatten(1, (groups, -1))
        axes = (0, 2, 3, 4)
        if self._replayed is None:
            self._recorded.append((values.mean(axes), values.var(axes, correction=0)))
        mean, variance = self._recorded[-1] if self._replayed is None else next(self._replayed)
        scale = torch.rsqrt(variance + 1e-5)  # as in `F.group_norm`
        normal: Tensor = (values - mean[:, None, None, None]) * scale[:, None, None, None]
        return normal.flatten(1, 2)


_active: ContextVar[Moments | None] = ContextVar("moments", default=None)


def group_norm(h: Tensor, training: bool = False) -> Tensor:
    """`(h - mean) / standard deviation`, over each image and group of channels.

    There are up to 8 groups, of at least 4 channels each. In channels-last memory PyTorch may sum a
    single image in another order than an image of a batch, but samples must not depend on the
    batch size. So outside training, where it costs little, h is made contiguous. Inside a
    `Moments.of_pass`, its moments are used.

    Shapes: (B, C, H, W) -> the same.
    """
    groups = math.gcd(h.shape[1], 8, max(1, h.shape[1] // 4))
    if (moments := _active.get()) is not None:
        return moments.normalize(h, groups)
    if not training:
        return F.group_norm(h.contiguous(), groups)
    sums = torch.promote_types(h.dtype, torch.float32)  # also faster than bfloat16
    return F.group_norm(h.to(sums), groups).to(h.dtype)
