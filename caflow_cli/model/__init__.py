"""The model: equation 9 (`density`), its use on 8-bit images (`caflow`), and its files.

Importing this package imports no torch; `files`, `header` and `card` need none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..lazy import on_demand

if TYPE_CHECKING:
    from .caflow import CAFlow, LossTerms, bits_per_dim, standard_error
    from .card import Card
    from .density import Condition, Density
    from .files import CheckpointInfo, config_json, read_info, upgrade
    from .header import strict_json

__all__ = [
    "CAFlow",
    "Card",
    "CheckpointInfo",
    "Condition",
    "Density",
    "LossTerms",
    "bits_per_dim",
    "config_json",
    "read_info",
    "standard_error",
    "strict_json",
    "upgrade",
]

__getattr__ = on_demand(
    __name__,
    {
        **dict.fromkeys(("CAFlow", "LossTerms", "bits_per_dim", "standard_error"), ".caflow"),
        **dict.fromkeys(("Condition", "Density"), ".density"),
        **dict.fromkeys(("CheckpointInfo", "config_json", "read_info", "upgrade"), ".files"),
        "Card": ".card",
        "strict_json": ".header",
    },
)
