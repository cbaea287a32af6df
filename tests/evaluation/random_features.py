"""Features of sets of pictures that are not there: Gaussian, mixed, and streamed."""

from __future__ import annotations

import torch

from caflow_cli.evaluation.metrics.set_features import SetFeatures


def features(seed: int, count: int = 300, d: int = 12, scale: float = 1.0, shift: float = 0.0):
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(d, d, generator=generator, dtype=torch.float64) * scale
    return torch.randn(count, d, generator=generator, dtype=torch.float64) @ mix + shift


def stats(values: torch.Tensor, keep: bool = False, batch: int = 64) -> SetFeatures:
    result = SetFeatures("test", keep)
    for part in values.split(batch):
        result.add(part)
    return result
