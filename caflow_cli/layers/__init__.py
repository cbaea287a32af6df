"""Invertible layers, one in each file, and the networks inside them.

All have one contract: `forward(x, cond=None) -> (y, logdet)` and `inverse(y, cond=None) -> (x,
logdet)`; `logdet` is the log-determinant of *that* direction, (B,) float64, in nats.
"""

from .actnorm import ActNorm
from .channel_affine import ChannelAffine, Composed, FoldedAffine, compose
from .conv import FixedConv
from .coupling import Coupling
from .fold import fold, fold_children
from .guides import GUIDES, Guide, UNet
from .injector import Injector
from .invconv import InvConv1x1
from .modules import Modules
from .nets import Conv, ConvNet, Trunk
from .squeeze import Squeeze

__all__ = [
    "GUIDES",
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
    "Modules",
    "Squeeze",
    "Trunk",
    "UNet",
    "compose",
    "fold",
    "fold_children",
]
