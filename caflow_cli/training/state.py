"""The states of a run: safetensors and JSON in one folder, renamed into place."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from ..errors import EXIT_USAGE, CaflowError
from ..images import atomic_write
from ..model import CAFlow
from .ema import EMA
from .guard import Guard
from .parameters import named_parameters

__all__ = ["load_newest", "load_state", "save_state"]

_RECORD = "state.json"


def save_state(
    folder: Path,
    model: CAFlow,
    ema: EMA,
    optimizer: torch.optim.Optimizer,
    record: dict[str, Any],
    every: int,
) -> None:
    """Write `folder/step-NNNNNNNN`, whole or not at all, and drop all but the last two states.

    Args:
        every: Steps between regular states. The older one of the two that stay is a regular one, if
            there is one. So the state to which the guard takes a resumed run back does not depend
            on the time of the interruption.

    Raises:
        CaflowError: The folder cannot be written to. Older states do not change.
    """
    final = folder / f"step-{record['step']:08d}"
    temporary = folder / f".{final.name}.{os.getpid()}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(".step-*.tmp"):  # by a run that was killed
            shutil.rmtree(left, ignore_errors=True)
        temporary.mkdir()
        atomic_write(temporary / "model.safetensors", save(_plain(model.state_dict())))
        atomic_write(temporary / "ema.safetensors", save(_plain(ema.model.state_dict())))
        moments = {
            f"{name}.{moment}": value
            for name, parameter in named_parameters(model).items()
            for moment, value in optimizer.state.get(parameter, {}).items()
        }
        atomic_write(temporary / "optimizer.safetensors", save(_plain(moments)))
        record = {**record, "ema_updates": ema.updates}
        atomic_write(temporary / _RECORD, json.dumps(record, indent=2).encode())
        if final.exists():
            _drop(final)
        temporary.rename(final)
        _sync(folder)
    except (OSError, CaflowError) as error:
        reason = error.strerror or error if isinstance(error, OSError) else error.message
        raise CaflowError(
            f"cannot write the state of step {record['step']}: {reason}",
            f"free space, then: caflow train --out {folder.parent} --resume",
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    older = [state for state in _states(folder) if state != final]
    regular = [state for state in older if _step(state) % every == 0]
    for state in older:
        if state != (regular or older)[-1]:
            _drop(state)


def load_newest(
    folder: Path, model: CAFlow, ema: EMA, optimizer: torch.optim.Optimizer, guard: Guard
) -> tuple[dict[str, Any], str | None]:
    """Restore the newest readable state; the guard gets the one before it as its copy.

    A state of an earlier phase is no copy: losses are of another kind there, and a run that was not
    stopped has dropped it.

    Returns:
        The record, and the errors of newer states, if any.

    Raises:
        CaflowError: (exit 2) there is no state, or none fits.
    """
    states = _states(folder)
    if not states:
        raise CaflowError(
            f"no state to resume in {str(folder)!r}",
            "leave --resume out, or start a new --out from the run's model with --init-from",
            EXIT_USAGE,
        )
    failure: CaflowError | None = None
    while states:
        newest = states.pop()
        try:
            record = load_state(newest, model, ema, optimizer)
            break
        except CaflowError as error:
            failure = failure or error
    else:
        assert failure is not None, "there was a state"
        raise failure
    if states:
        with contextlib.suppress(CaflowError):
            earlier = load_state(states[-1], model, ema, optimizer)
            if _phase(earlier) == _phase(record):
                guard.restore(earlier["guard"])
                guard.remember()
        load_state(newest, model, ema, optimizer)
    guard.restore(record["guard"])
    return record, failure.message if failure else None


def load_state(
    state: Path, model: CAFlow, ema: EMA, optimizer: torch.optim.Optimizer
) -> dict[str, Any]:
    """Restore a state. Returns its record.

    Raises:
        CaflowError: The state is damaged, or of another architecture.
    """
    try:
        return _load_state(state, model, ema, optimizer)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:160]
        raise CaflowError(
            f"cannot resume from {str(state)!r}: {reason}",
            "do not change [flow] of a run; for another model use a new --out, with --init-from",
            EXIT_USAGE,
        ) from error


def _load_state(
    state: Path, model: CAFlow, ema: EMA, optimizer: torch.optim.Optimizer
) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((state / _RECORD).read_text(encoding="utf-8"))
    model.load_state_dict(load_file(state / "model.safetensors"))
    average = load_file(state / "ema.safetensors")
    ema.load_state_dict({"model": average, "updates": record["ema_updates"]})
    moments: dict[int, dict[str, Tensor]] = {}
    # By name: which group a parameter is in, and so its index, follows from the run's config.
    parameters = named_parameters(model)
    grouped = [p for group in optimizer.param_groups for p in group["params"]]
    index_of = {id(parameter): index for index, parameter in enumerate(grouped)}
    for key, value in load_file(state / "optimizer.safetensors").items():
        name, _, moment = key.rpartition(".")
        parameter = parameters[name]
        if value.ndim:
            # The fused optimiser walks memory: moments must lie as their parameter does.
            value = torch.empty_like(parameter).copy_(value)
        moments.setdefault(index_of[id(parameter)], {})[moment] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": moments})
    return record


def _phase(record: dict[str, Any]) -> tuple[Any, ...]:
    """The phase that a state is of, and where it began; those of 0.1.0 have another word."""
    return tuple(record.get(key) for key in ("phase", "phase_began_at", "guide_alone"))


def _states(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*"), key=_step)


def _drop(state: Path) -> None:
    """Remove a state so that no remaining part can be taken for a state."""
    gone = state.with_name(f".{state.name}.dropped.{os.getpid()}.tmp")
    with contextlib.suppress(OSError):
        state.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)


def _step(state: Path) -> int:
    return int(state.name.partition("-")[2])


def _sync(folder: Path) -> None:
    """Make a rename in the folder survive a power cut, if the system can."""
    if hasattr(os, "O_DIRECTORY"):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _plain(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
