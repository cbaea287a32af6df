"""Flows made of layers: steps, scales, the unconditional R and T, the conditional F_i."""

from .anchor import Anchor, Anchored, KnownLuminance, KnownPixels
from .conditional import Autoregressive, ConditionalFlow
from .dequantize import NOISE_LATTICE, Logit, noise_draws, to_uint8
from .dual_glow import ConditionalGaussian, DualGlow
from .multiscale import MultiScaleFlow
from .prior import standard_normal_log_prob
from .scale import ConditionalScale, Reading, Scale
from .shared import SharedAutoregressive
from .sizes import Sizes
from .step import ConditionalStep, Step, StepCondition
from .variational import VariationalNoise

__all__ = [
    "NOISE_LATTICE",
    "Anchor",
    "Anchored",
    "Autoregressive",
    "ConditionalFlow",
    "ConditionalGaussian",
    "ConditionalScale",
    "ConditionalStep",
    "DualGlow",
    "KnownLuminance",
    "KnownPixels",
    "Logit",
    "MultiScaleFlow",
    "Reading",
    "Scale",
    "SharedAutoregressive",
    "Sizes",
    "Step",
    "StepCondition",
    "VariationalNoise",
    "noise_draws",
    "standard_normal_log_prob",
    "to_uint8",
]
