"""Weights: the manifest, where a model comes from, and packing one."""

from .manifest import Entry, load_manifest
from .pack import pack
from .resolve import Resolved, default_model, load, resolve

__all__ = ["Entry", "Resolved", "default_model", "load", "load_manifest", "pack", "resolve"]
