"""The model: equation 9 (`density`), its use on images of 8 and 16 bits (`caflow`), and its files.

Importing this package imports no torch; `files` and `card` need none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..lazy import on_demand

if TYPE_CHECKING:
    from .caflow import (
        CAFlow as CAFlow,
        LossTerms as LossTerms,
        bits_per_dim as bits_per_dim,
        standard_error as standard_error,
    )
    from .card import Card as Card
    from .density import Condition as Condition, Density as Density
    from .files import (
        CALIBRATION as CALIBRATION,
        Calibration as Calibration,
        CheckpointInfo as CheckpointInfo,
        calibration_in as calibration_in,
        config_json as config_json,
        read_info as read_info,
        strict_json as strict_json,
    )
    from .pretrained import (
        BITS as BITS,
        checkpoint_bytes as checkpoint_bytes,
        without_values as without_values,
    )

_HOMES = {
    "BITS": ".pretrained",
    "CALIBRATION": ".files",
    "CAFlow": ".caflow",
    "Calibration": ".files",
    "Card": ".card",
    "CheckpointInfo": ".files",
    "Condition": ".density",
    "Density": ".density",
    "LossTerms": ".caflow",
    "bits_per_dim": ".caflow",
    "calibration_in": ".files",
    "checkpoint_bytes": ".pretrained",
    "config_json": ".files",
    "read_info": ".files",
    "standard_error": ".caflow",
    "strict_json": ".files",
    "without_values": ".pretrained",
}
__all__ = [*_HOMES]
__getattr__ = on_demand(__name__, _HOMES)
