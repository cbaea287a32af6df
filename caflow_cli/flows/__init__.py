"""Flows made of layers: steps, scales, the unconditional R and T, the conditional F_i."""

from .conditional import ConditionalFlow
from .dequantize import Logit, fixed_noise, to_uint8
from .multiscale import MultiScaleFlow
from .prior import standard_normal_log_prob
from .scale import ConditionalScale, Scale
from .step import ConditionalStep, Step

__all__ = [
    "ConditionalFlow",
    "ConditionalScale",
    "ConditionalStep",
    "Logit",
    "MultiScaleFlow",
    "Scale",
    "Step",
    "fixed_noise",
    "standard_normal_log_prob",
    "to_uint8",
]
