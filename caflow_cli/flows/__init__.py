"""Flows made of layers: steps, scales, the unconditional R and T, the conditional F_i."""

from ..layers import standard_normal_log_prob
from .anchor import Anchor, AnchorCondition
from .conditional import (
    Autoregressive,
    ConditionalFlow,
    ConditionalGaussian,
    DualGlow,
    FlowCondition,
    Latents,
    SharedAutoregressive,
)
from .dequantize import NOISE_LEVELS, Levels, ValueScale, VariationalNoise, noise_draws
from .field import FieldAnchor, FieldCondition, Marginals
from .known import FilledPixels, KnownImage, KnownLuminance, KnownPixels
from .logit import Logit
from .multiscale import MultiScaleFlow
from .scale import ConditionalScale, Scale, ScaleCondition
from .step import ConditionalStep, Step, StepCondition

__all__ = [
    "NOISE_LEVELS",
    "Anchor",
    "AnchorCondition",
    "Autoregressive",
    "ConditionalFlow",
    "ConditionalGaussian",
    "ConditionalScale",
    "ConditionalStep",
    "DualGlow",
    "FieldAnchor",
    "FieldCondition",
    "FilledPixels",
    "FlowCondition",
    "KnownImage",
    "KnownLuminance",
    "KnownPixels",
    "Latents",
    "Levels",
    "Logit",
    "Marginals",
    "MultiScaleFlow",
    "Scale",
    "ScaleCondition",
    "SharedAutoregressive",
    "Step",
    "StepCondition",
    "ValueScale",
    "VariationalNoise",
    "noise_draws",
    "standard_normal_log_prob",
]
