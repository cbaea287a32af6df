"""Invertible layers, and the networks inside them.

All have the same interface: `forward(x, cond=None) -> (y, logdet)` and `inverse(y, cond=None) ->
(x, logdet)`; `logdet` is the log-determinant of *that* direction (`WithLogdet`). Exceptions are
`ActNorm` and `InvConv1x1`, which only hold the parameters that `ChannelAffine` applies.
"""

from .actnorm import ActNorm
from .bins import WIDTHS, center, points_of, to_stored
from .channel_affine import AffineMap, ChannelAffine, FoldedAffine, affine_maps, product
from .conv import FixedConv
from .coupling import Coupling, Injector
from .fold import fold, fold_children, nets_in_bf16, with_children
from .invconv import InvConv1x1
from .nets import Conv, ConvNet, Modules, Trunk
from .squeeze import Squeeze
from .terms import (
    WithLogdet,
    affine,
    affine_inverse,
    bounded,
    per_candidate,
    scaling,
    sigmoid,
    standard_normal_log_prob,
    sum_per_image,
    zero_logdet,
)

__all__ = [
    "WIDTHS",
    "ActNorm",
    "AffineMap",
    "ChannelAffine",
    "Conv",
    "ConvNet",
    "Coupling",
    "FixedConv",
    "FoldedAffine",
    "Injector",
    "InvConv1x1",
    "Modules",
    "Squeeze",
    "Trunk",
    "WithLogdet",
    "affine",
    "affine_inverse",
    "affine_maps",
    "bounded",
    "center",
    "fold",
    "fold_children",
    "nets_in_bf16",
    "per_candidate",
    "points_of",
    "product",
    "scaling",
    "sigmoid",
    "standard_normal_log_prob",
    "sum_per_image",
    "to_stored",
    "with_children",
    "zero_logdet",
]
