"""The model: its configuration, equation 9, and its files."""

from .caflow import CAFlow, Encoding, LossTerms, bits_per_dim
from .checkpoint import SCHEMA, CheckpointInfo, load_checkpoint, read_info, save_checkpoint
from .config import PRESETS, Config, FlowConfig, TaskConfig, parse, preset

__all__ = [
    "PRESETS",
    "SCHEMA",
    "CAFlow",
    "CheckpointInfo",
    "Config",
    "Encoding",
    "FlowConfig",
    "LossTerms",
    "TaskConfig",
    "bits_per_dim",
    "load_checkpoint",
    "parse",
    "preset",
    "read_info",
    "save_checkpoint",
]
