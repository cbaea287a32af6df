"""Where a model's default temperature and rule of choice come from, as its file tells."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..config import Config
from ..errors import EXIT_USAGE, CaflowError
from ..temperature import Temperature

__all__ = ["DEFAULTS", "Origins", "check_new_file", "origins"]

DEFAULTS = "defaults"  # the key of the training record; its parts are "tau" and "rank"


@dataclass(frozen=True)
class Origins:
    """The record of a search in a model's file, where the config still says what it chose."""

    tau: Mapping[str, Any] | None
    rank: Mapping[str, Any] | None

    def sentences(self) -> dict[str, str]:
        """For people: each default, by name, with its rule and what it was measured on."""
        found = {}
        for name, part in (("tau", self.tau), ("rank", self.rank)):
            if part is not None:
                value = _text(part["tau"]) if name == "tau" else str(part["rank"])
                found[name] = (
                    f"{value}: {part.get('rule')}, on {part.get('pictures')} pictures of "
                    f"{part.get('split')}/ of {part.get('data')}"
                )
        return found


def origins(config: Config, training: Mapping[str, Any]) -> Origins:
    """Read the record of a search. Whatever is broken in it, or no longer true, is left out."""
    record = training.get(DEFAULTS)
    record = record if isinstance(record, dict) else {}
    tau, rank = record.get("tau"), record.get("rank")
    own = config.task.tau
    known = isinstance(tau, dict) and own is not None and _text(tau.get("tau")) == _text(own)
    stays = isinstance(rank, dict) and rank.get("rank") == config.task.rank
    return Origins(tau if known else None, rank if stays else None)


def check_new_file(path: str | Path) -> None:
    """Refuse a file of defaults that cannot be written, or that exists: CaflowError (exit 2)."""
    path = Path(path)
    if path.suffix != ".safetensors":
        raise CaflowError(
            f"{str(path)!r} does not end in .safetensors, as a model does",
            f"--write-defaults {path.with_suffix('.safetensors') if path.name else 'FILE'}",
            EXIT_USAGE,
        )
    if os.path.lexists(path):
        raise CaflowError(
            f"{str(path)!r} exists, and no model is replaced", "choose a new file", EXIT_USAGE
        )


def _text(tau: Any) -> str:
    """The temperature as it is typed; of what is none, what Python writes."""
    try:
        return str(Temperature.of(tau))
    except (CaflowError, OverflowError):
        return repr(tau)
