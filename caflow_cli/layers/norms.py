"""Normalisation over an image, and over all of an image that is read in parts."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
import torch.nn.functional as F
from torch import Tensor


class Moments:
    """Mean and variance of every `group_norm` of a net, kept from one pass for others.

    An image that is too large for one pass is read in parts. Each part alone would be normalised
    by its own moments, and neighbours would differ where they overlap. So the moments of some
    parts together are recorded first, and then every part is normalised by these.
    """

    def __init__(self) -> None:
        self._found: list[tuple[Tensor, Tensor]] = []
        self._kept: Iterator[tuple[Tensor, Tensor]] | None = None

    @contextmanager
    def of_pass(self) -> Iterator[None]:
        """A pass of the net: of the first one, as if its batch were one image, they are kept."""
        self._kept = iter(self._found) if self._found else None
        token = _active.set(self)
        try:
            yield
        finally:
            _active.reset(token)

    def normalise(self, h: Tensor, groups: int) -> Tensor:
        """`group_norm` by the moments of this place in the net, (B, C, H, W) -> the same."""
        values, axes = h.unflatten(1, (groups, -1)), (0, 2, 3, 4)
        if self._kept is None:
            self._found.append((values.mean(axes), values.var(axes, correction=0)))
        mean, variance = self._found[-1] if self._kept is None else next(self._kept)
        scale = torch.rsqrt(variance + 1e-5)  # as `F.group_norm` has it
        normal: Tensor = (values - mean[:, None, None, None]) * scale[:, None, None, None]
        return normal.flatten(1, 2)


_active: ContextVar[Moments | None] = ContextVar("moments", default=None)


def group_norm(h: Tensor, training: bool = False) -> Tensor:
    """`(h - mean) / standard deviation`, each over an image and a group of channels.

    There are up to 8 groups, of 4 channels or more. In channels-last memory PyTorch may sum a
    single image in another order than one in a batch, but a draw must not depend on the batch. So
    the memory is rearranged outside of training, where this costs little. `Moments` may stand for
    those of the image.

    Shapes: (B, C, H, W) -> the same.
    """
    groups = math.gcd(h.shape[1], 8, max(1, h.shape[1] // 4))
    if (moments := _active.get()) is not None:
        return moments.normalise(h, groups)
    if not training:
        return F.group_norm(h.contiguous(), groups)
    sums = torch.promote_types(h.dtype, torch.float32)  # bfloat16 is slower here, too
    return F.group_norm(h.to(sums), groups).to(h.dtype)
