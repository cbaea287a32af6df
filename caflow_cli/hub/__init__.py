"""Weights: the manifest, where a model comes from, and packing one.

The manifest is plain JSON and is read without torch; the rest is loaded at first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .manifest import Entry, load_manifest

if TYPE_CHECKING:
    from .pack import pack
    from .resolve import Resolved, default_model, load, resolve

__all__ = ["Entry", "Resolved", "default_model", "load", "load_manifest", "pack", "resolve"]

_HOMES = {
    "Resolved": ".resolve",
    "default_model": ".resolve",
    "load": ".resolve",
    "pack": ".pack",
    "resolve": ".resolve",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name], __name__), name)
    globals()[name] = value  # over the submodule of the same name
    return value
