"""Exponential moving average of the weights (paper appendix B: rate 0.999)."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor

from ..model import CAFlow

__all__ = ["EMA"]


class EMA:
    """A second model, in `eval()`, whose parameters follow the trained one's.

    At first the rate is `(1 + n) / (10 + n)` after n updates, so that the poor weights of the first
    steps are soon forgotten.
    """

    def __init__(self, model: CAFlow, rate: float) -> None:
        self.model = copy.deepcopy(model).eval()
        self.model.requires_grad_(False)
        # Listed once: to walk through all modules in every step takes longer than to average.
        self._parameters = list[Tensor](self.model.parameters()), list[Tensor](model.parameters())
        # By owner and name: a model that is wrapped for several processes gets new buffers.
        self._buffers = [
            (average, module, name)
            for average, module in zip(self.model.modules(), model.modules(), strict=True)
            for name, _ in module.named_buffers(recurse=False)
        ]
        self.rate = rate
        self.updates = 0

    @torch.no_grad()
    def update(self) -> None:
        """`average += (1 - rate) (weights - average)`; buffers are copied."""
        rate = min(self.rate, (1 + self.updates) / (10 + self.updates)) if self.updates else 0.0
        averages, weights = self._parameters
        torch._foreach_lerp_(averages, weights, 1 - rate)
        for average, module, name in self._buffers:
            getattr(average, name).copy_(getattr(module, name))
        self.updates += 1

    def state_dict(self) -> dict[str, Any]:
        return {"model": self.model.state_dict(), "updates": self.updates}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.model.load_state_dict(state_dict["model"])
        self.updates = state_dict["updates"]
