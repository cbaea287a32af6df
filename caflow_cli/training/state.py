"""The state that a run goes on from: safetensors and JSON in one folder, renamed into place."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ..errors import EXIT_USAGE, CaflowError
from ..model import CAFlow
from ..model.checkpoint import write_tensors
from .ema import EMA

__all__ = ["latest_state", "load_state", "save_state"]

_KEEP = 2


def save_state(
    folder: Path, model: CAFlow, ema: EMA, optimizer: torch.optim.Optimizer, record: dict[str, Any]
) -> None:
    """Write `folder/step-NNNNNNNN`, whole or not at all, and drop all but the last two."""
    folder.mkdir(parents=True, exist_ok=True)
    final = folder / f"step-{record['step']:08d}"
    temporary = folder / f".{final.name}.{os.getpid()}.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        write_tensors(temporary / "model.safetensors", _plain(model.state_dict()))
        write_tensors(temporary / "ema.safetensors", _plain(ema.model.state_dict()))
        moments = {
            f"{index}.{name}": value
            for index, state in optimizer.state_dict()["state"].items()
            for name, value in state.items()
        }
        write_tensors(temporary / "optimizer.safetensors", _plain(moments))
        record = {**record, "ema_updates": ema.updates}
        (temporary / "state.json").write_text(json.dumps(record, indent=2), encoding="utf-8")
        shutil.rmtree(final, ignore_errors=True)
        temporary.rename(final)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    for old in sorted(folder.glob("step-*"))[:-_KEEP]:
        shutil.rmtree(old, ignore_errors=True)


def latest_state(folder: Path) -> Path:
    """The newest state of a run. None there: CaflowError."""
    states = sorted(folder.glob("step-*"))
    if not states:
        raise CaflowError(
            f"no state to resume in {str(folder)!r}", "leave --resume out to start", EXIT_USAGE
        )
    return states[-1]


def load_state(
    state: Path, model: CAFlow, ema: EMA, optimizer: torch.optim.Optimizer
) -> dict[str, Any]:
    """Put a state back in place; returns its record.

    Raises:
        CaflowError: Damaged, or of another architecture.
    """
    try:
        return _load_state(state, model, ema, optimizer)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:160]
        raise CaflowError(
            f"cannot resume from {str(state)!r}: {reason}",
            "remove that folder to go back to the state before it, and change no [flow]",
            EXIT_USAGE,
        ) from error


def _load_state(
    state: Path, model: CAFlow, ema: EMA, optimizer: torch.optim.Optimizer
) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((state / "state.json").read_text(encoding="utf-8"))
    model.load_state_dict(load_file(state / "model.safetensors"))
    average = load_file(state / "ema.safetensors")
    ema.load_state_dict({"model": average, "updates": record["ema_updates"]})
    moments: dict[int, dict[str, Tensor]] = {}
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for key, value in load_file(state / "optimizer.safetensors").items():
        index, name = key.split(".", 1)
        if value.ndim:
            # The fused optimiser walks memory: moments must lie as their parameter does.
            value = torch.empty_like(parameters[int(index)]).copy_(value)
        moments.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": moments})
    return record


def _plain(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
