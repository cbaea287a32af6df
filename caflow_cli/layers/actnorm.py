"""Activation normalization (paper section 2.1; Glow)."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ..devices import to_float64, to_like


class ActNorm(nn.Module):
    """`y = exp(log_scale) (x + bias)`, with one scale and one bias for each channel.

    `initialize` sets both so that the output for the first training batch has mean 0 and variance
    1. This happens only once, and only in `train()`: `initialized` is a buffer, so a loaded or
    resumed model does not repeat it. With several ranks, the moments are all-reduced first, so that
    all ranks get the same values. `ChannelAffine` applies the result.
    """

    initialized: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))
        self.log_scale = nn.Parameter(torch.zeros(channels))
        self.register_buffer("initialized", torch.tensor(False))
        # A copy of the buffer, so that steps on a GPU need not synchronize to read it.
        self._known_initialized = False

    def _load_from_state_dict(self, *args: Any) -> None:
        super()._load_from_state_dict(*args)  # type: ignore[no-untyped-call]
        self._known_initialized = False  # the loaded buffer decides

    @property
    def is_initialized(self) -> bool:
        """Whether scale and bias have been set, so that `initialize` does nothing."""
        if not self._known_initialized:
            self._known_initialized = bool(self.initialized)
        return self._known_initialized

    @torch.no_grad()
    def initialize(self, x: Tensor) -> None:
        """Set scale and bias from x, (B, C, H, W); does nothing if they are set, or in `eval()`."""
        if self.training and not self.is_initialized:
            values = to_float64(x)
            moments = torch.stack([values.sum((0, 2, 3)), values.square().sum((0, 2, 3))])
            count = moments.new_tensor(float(x.numel() // x.shape[1]))
            if dist.is_available() and dist.is_initialized():
                dist.all_reduce(moments)
                dist.all_reduce(count)
            mean = moments[0] / count
            variance = (moments[1] / count - mean.square()).clamp_min(1e-8)
            self.bias.copy_(to_like(-mean, self.bias))
            self.log_scale.copy_(to_like(-0.5 * variance.log(), self.log_scale))
            self.initialized.fill_(True)
            self._known_initialized = True
