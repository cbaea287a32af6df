"""The inference form of modules: everything that depends on weights alone is computed once."""

import copy
from collections.abc import Callable
from typing import TypeVar

from torch import nn

_M = TypeVar("_M", bound=nn.Module)


def fold(module: nn.Module) -> nn.Module:
    """Return a faster equivalent of `module` in `eval()`, valid while no weight changes.

    A module with a method `fold` returns its own equivalent: convolutions are packed, and sequences
    of actnorms and 1×1 convolutions become one affine map with its inverse. Every other module is
    copied with folded children. So flows and nets are written only once.
    """
    own: Callable[[], nn.Module] | None = getattr(module, "fold", None)
    return fold_children(module) if own is None else own()


def fold_children(module: _M) -> _M:
    """Copy a module. The copy shares everything but its children, which are folded."""
    folded = copy.copy(module)
    # A compiled `forward` is bound to the module that it was made of.
    folded.__dict__.pop("forward", None)
    folded._modules = {
        name: None if child is None else fold(child) for name, child in module._modules.items()
    }
    return folded.eval()


def nets_in_bf16(folded: _M) -> _M:
    """Copy a folded module. The convolutions of its nets are in bfloat16, and all else is shared.

    So the flow is the inverse of another one, near its own: what is drawn by it is still scored by
    its own.
    """
    copied = copy.copy(folded)
    copied._modules = {
        name: None
        if child is None
        else child.in_bf16()  # type: ignore[operator]
        if hasattr(child, "in_bf16")
        else nets_in_bf16(child)
        for name, child in folded._modules.items()
    }
    return copied
