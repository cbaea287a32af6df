"""The inference form of modules: everything that depends only on weights is precomputed."""

import copy
from collections.abc import Callable, Mapping
from typing import TypeVar

from torch import nn

_M = TypeVar("_M", bound=nn.Module)


def fold(module: nn.Module) -> nn.Module:
    """Return a faster equivalent of `module` in `eval()`, valid as long as no weight changes.

    A module with a method `fold` provides its own equivalent: convolutions are packed, and
    successive actnorms and 1×1 convolutions become one affine map with its inverse. Any other
    module is copied with folded children, so flows and nets need no second implementation.
    """
    folds: Callable[[], nn.Module] | None = getattr(module, "fold", None)
    return fold_children(module) if folds is None else folds()


def fold_children(module: _M) -> _M:
    """Copy a module shallowly, with folded children."""
    children = module._modules.items()
    folded = {name: None if child is None else fold(child) for name, child in children}
    return with_children(module, folded).eval()


def with_children(module: _M, children: Mapping[str, nn.Module | None]) -> _M:
    """Copy a module shallowly, with other children by these names."""
    copied = copy.copy(module)
    copied._modules = {**module._modules, **children}
    return copied


def nets_in_bf16(folded: _M) -> _M:
    """Copy a folded module, with its nets' convolutions in bfloat16; everything else is shared.

    The copy is the inverse of a slightly different flow. Use it only to draw samples, and score
    them with the original.
    """
    children = {}
    for name, child in folded.named_children():
        rounds: Callable[[], nn.Module] | None = getattr(child, "in_bf16", None)
        children[name] = nets_in_bf16(child) if rounds is None else rounds()
    return with_children(folded, children)
