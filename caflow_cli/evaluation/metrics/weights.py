"""The sources of the networks that metrics need."""

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
    leave_out: bool = False  # LPIPS, with a note, where its trunk is not to be had
