"""Where the networks of the metrics come from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["Weights"]


@dataclass(frozen=True)
class Weights:
    """Files and names; None: the environment's file, else torch's cache, else a download."""

    lpips: str | Path | None = None
    fid: str | Path | None = None
    extractor: str = "inception"  # of FID and KID
