"""Guides: nets that predict the mean of every value of the target from the whole condition."""

from .build import build_guide, mean_of_views
from .compact import Compact
from .enlarge import Enlarge
from .external import NET, External
from .scale_net import ScaleNet
from .small import recover_small
from .unet import UNet

__all__ = [
    "NET",
    "Compact",
    "Enlarge",
    "External",
    "ScaleNet",
    "UNet",
    "build_guide",
    "mean_of_views",
    "recover_small",
]
