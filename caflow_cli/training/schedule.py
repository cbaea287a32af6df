"""Learning rate over a run."""

from __future__ import annotations

import math

__all__ = ["learning_rate"]


def learning_rate(step: int, progress: float, *, peak: float, warmup: int, floor: float) -> float:
    """Linear warm-up to `peak`, times a cosine from 1 to `floor` over the budget.

    Args:
        step: From 0.
        progress: Share of the budget spent, in images or in time.
        peak, warmup, floor: As in `OptimConfig`.
    """
    ramp = min(1.0, (step + 1) / max(1, warmup))
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, max(0.0, progress))))
    return peak * ramp * (floor + (1 - floor) * cosine)
