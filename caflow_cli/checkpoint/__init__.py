"""Model files: safetensors that describe themselves. Nothing in this room knows modules.

Importing this package imports no torch; `checkpoint.tensors`, which reads values, does.
"""

from .card import Card
from .defaults import Origins, origins
from .info import SCHEMA, CheckpointInfo, config_json, read_info
from .strict_json import strict_json

__all__ = [
    "SCHEMA",
    "Card",
    "CheckpointInfo",
    "Origins",
    "config_json",
    "origins",
    "read_info",
    "strict_json",
]
