"""Parameters of a model, by the names that they have in files."""

from __future__ import annotations

from torch import nn

from ..model import CAFlow

__all__ = ["named_parameters"]

_DENSITY = "density."  # the module of the flows: files leave it out of names


def named_parameters(model: CAFlow) -> dict[str, nn.Parameter]:
    """Parameters by names such as `A.guide.head.weight`, in the model's order."""
    return {name.removeprefix(_DENSITY): p for name, p in model.named_parameters()}
