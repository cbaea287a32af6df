"""Invertible layers, one a file, and the networks inside them.

One contract: `forward(x, cond=None) -> (y, logdet)` and `inverse(y, cond=None) -> (x, logdet)`;
`logdet` is the log-determinant of *that* direction, (B,) float64, in nats.
"""

from .actnorm import ActNorm
from .affine import ChannelAffine, Composed, compose
from .coupling import Coupling
from .injector import Injector
from .invconv import InvConv1x1
from .nets import Conv, ConvNet, Trunk
from .squeeze import Squeeze

__all__ = [
    "ActNorm",
    "ChannelAffine",
    "Composed",
    "Conv",
    "ConvNet",
    "Coupling",
    "Injector",
    "InvConv1x1",
    "Squeeze",
    "Trunk",
    "compose",
]
