"""Invertible layers, one a file, and the networks inside them.

One contract: `forward(x, cond=None) -> (y, logdet)` and `inverse(y, cond=None) -> (x, logdet)`;
`logdet` is the log-determinant of *that* direction, (B,) float64, in nats.
"""

from .actnorm import ActNorm
from .affine import ChannelAffine, Composed, FoldedAffine, compose
from .conv import FixedConv
from .coupling import Coupling
from .fold import fold, fold_children
from .injector import Injector, ScaleAndBias
from .invconv import InvConv1x1
from .nets import Conv, ConvNet, Guide, Trunk
from .squeeze import Squeeze
from .unet import UNet

__all__ = [
    "ActNorm",
    "ChannelAffine",
    "Composed",
    "Conv",
    "ConvNet",
    "Coupling",
    "FixedConv",
    "FoldedAffine",
    "Guide",
    "Injector",
    "InvConv1x1",
    "ScaleAndBias",
    "Squeeze",
    "Trunk",
    "UNet",
    "compose",
    "fold",
    "fold_children",
]
