"""The folder of a run: its lock, the model that it starts from, and its states.

A state is safetensors and JSON in one folder, which is renamed into place.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from ..config import Config, FlowConfig
from ..errors import EXIT_USAGE, CaflowError
from ..images import atomic_write, remove_leftovers
from ..model import CAFlow, read_info, upgrade
from ..records import parse
from .config import RunConfig
from .log import METRICS, read_events
from .optim import EMA, Guard, named_parameters
from .phases import GUIDE, phases_of

__all__ = [
    "check_new",
    "check_unchanged",
    "load_newest",
    "load_state",
    "open_run",
    "save_state",
    "starting_model",
    "starts_again",
]

_RECORD = "state.json"


@contextlib.contextmanager
def open_run(out: Path, resume: bool) -> Iterator[None]:
    """Create the folder of a run and lock it: one process at a time may use it.

    A run that never began leaves nothing behind.

    Raises:
        CaflowError: (exit 2) the folder holds a run already, is in use, or cannot be written to.
    """
    lock = FileLock(out / ".lock")
    try:
        out.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout as error:
        raise CaflowError(
            f"another process is training in {str(out)!r}",
            "stop it, or choose another --out",
            EXIT_USAGE,
        ) from error
    except OSError as error:
        raise CaflowError(
            f"cannot write to {str(out)!r}: {error.strerror}", "choose another --out", EXIT_USAGE
        ) from error
    try:
        check_new(out, resume)  # now: another process may have finished a run just before
        for folder in (out, out / "samples"):
            remove_leftovers(folder)
        yield
    finally:
        with contextlib.suppress(OSError):
            if not (out / METRICS).exists():
                # While the lock is held: once it is released, the file may be another run's.
                (out / ".lock").unlink()
                lock.release()
                out.rmdir()  # only if empty
        lock.release()


def check_new(out: Path, resume: bool) -> None:
    """Refuse a new run where there is one: CaflowError (exit 2). Nothing is written."""
    has_model = bool(_states(out)) or any(out.glob("*.safetensors"))
    if not resume and has_model and (out / METRICS).exists():
        raise CaflowError(
            f"{str(out)!r} holds a run already",
            "add --resume, or choose another --out",
            EXIT_USAGE,
        )


def starts_again(out: Path, save_every: int) -> bool:
    """Whether a run was killed before its first state, so that it must start again."""
    if _states(out):
        return False
    events = read_events(out)
    # Where a state was written and is gone, its models are all that is left of a run.
    return all(e["event"] != "end" and e["step"] <= save_every for e in events)


def starting_model(config: RunConfig, resume: bool = False) -> CAFlow:
    """Make a new model, or one with the weights of `init_from`.

    If the config's guide has another network than that model's, all weights but the guide's are
    taken. The new guide has no effect at first, since its last convolution is zero. A resumed run
    does not read `init_from`, because its state holds all weights.

    Raises:
        CaflowError: The model differs in more than its guide (exit code 2), or cannot be read.
    """
    model = CAFlow(Config(config.flow, config.task))
    if not config.init_from or resume:
        return model
    path = Path(config.init_from)
    theirs, flow = CAFlow.load(path).state_dict(), read_info(path).config.flow
    if _without_guide(flow) != _without_guide(config.flow):
        raise CaflowError(
            f"{config.init_from!r} has another architecture than the run",
            "take the run's [flow] from that model's config; only its guide may differ",
            EXIT_USAGE,
        )
    keeps_guide = flow.same_guide(config.flow)
    model.load_state_dict(
        {
            name: theirs[name] if keeps_guide or not name.startswith(GUIDE) else fresh
            for name, fresh in model.state_dict().items()
        }
    )
    return model


def _without_guide(flow: FlowConfig) -> dict[str, object]:
    """All but what the guide is; R reads its predicted image, so whether there is one counts."""
    rest = {k: v for k, v in asdict(flow).items() if k not in FlowConfig.GUIDE_FIELDS}
    return {**rest, "guided": bool(flow.guides)}


# --- states ---------------------------------------------------------------------------------------


def save_state(
    out: Path,
    model: CAFlow,
    ema: EMA,
    optimizer: torch.optim.Optimizer,
    record: dict[str, Any],
    every: int,
) -> None:
    """Write `out/state/step-NNNNNNNN`, whole or not at all, and drop all but the last two states.

    Args:
        out: The run's folder.
        model, ema, optimizer: What is saved, besides
        record: the step and other plain values.
        every: Steps between regular states. The older one of the two that stay is a regular one, if
            there is one. So the state to which the guard takes a resumed run back does not depend
            on the time of the interruption.

    Raises:
        CaflowError: The folder cannot be written to. Older states do not change.
    """
    folder = out / "state"
    final = folder / f"step-{record['step']:08d}"
    temporary = folder / f".{final.name}.{os.getpid()}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(".step-*.tmp"):  # by a run that was killed
            shutil.rmtree(left, ignore_errors=True)
        temporary.mkdir()
        moments = {
            f"{name}.{moment}": value
            for name, parameter in named_parameters(model).items()
            for moment, value in optimizer.state.get(parameter, {}).items()
        }
        for name, tensors in (
            ("model", model.state_dict()),
            ("ema", ema.model.state_dict()),
            ("optimizer", moments),
        ):
            plain = {key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}
            atomic_write(temporary / f"{name}.safetensors", save(plain))
        record = {**record, "ema_updates": ema.updates}
        atomic_write(temporary / _RECORD, json.dumps(record, indent=2).encode())
        if final.exists():
            _drop(final)
        temporary.rename(final)
    except (OSError, CaflowError) as error:
        reason = error.strerror or error if isinstance(error, OSError) else error.message
        raise CaflowError(
            f"cannot write the state of step {record['step']}: {reason}",
            f"free space, then: caflow train --out {out} --resume",
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    older = [state for state in _states(out) if state != final]
    regular = [state for state in older if _step(state) % every == 0]
    for state in older:
        if state != (regular or older)[-1]:
            _drop(state)


def load_newest(
    out: Path, model: CAFlow, ema: EMA, optimizer: torch.optim.Optimizer, guard: Guard
) -> tuple[dict[str, Any], str | None]:
    """Restore the newest readable state; the guard gets the one before it as its copy.

    A state of an earlier phase is no copy: losses are of another kind there, and a run that was not
    stopped has dropped it.

    Returns:
        The record, and the error of the newest state, if it cannot be read.

    Raises:
        CaflowError: (exit 2) there is no state, or none fits.
    """
    states = _states(out)
    failure: CaflowError | None = None
    while states:
        newest = states.pop()
        try:
            record = load_state(newest, model, ema, optimizer)
            break
        except CaflowError as error:
            failure = failure or error
    else:
        raise failure or CaflowError(
            f"no state to resume in {str(out / 'state')!r}",
            "leave --resume out, or start a new --out from the run's model with --init-from",
            EXIT_USAGE,
        )
    if states:
        with contextlib.suppress(CaflowError):
            earlier = load_state(states[-1], model, ema, optimizer)
            if all(earlier.get(k) == record.get(k) for k in ("phase", "phase_began_at")):
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
        CaflowError: (exit 2) the state is damaged, or of another architecture.
    """
    try:
        record: dict[str, Any] = json.loads((state / _RECORD).read_text(encoding="utf-8"))
        model.load_state_dict(load_file(state / "model.safetensors"))
        average = load_file(state / "ema.safetensors")
        ema.load_state_dict({"model": average, "updates": record["ema_updates"]})
        _load_moments(load_file(state / "optimizer.safetensors"), model, optimizer)
        return record
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:160]
        raise CaflowError(
            f"cannot resume from {str(state)!r}: {reason}",
            "do not change [flow] of a run; for another model use a new --out, with --init-from",
            EXIT_USAGE,
        ) from error


def _load_moments(
    found: dict[str, Tensor], model: CAFlow, optimizer: torch.optim.Optimizer
) -> None:
    """Restore the optimiser's moments by name: groups, and so indices, follow from the config."""
    parameters = named_parameters(model)
    grouped = [p for group in optimizer.param_groups for p in group["params"]]
    index_of = {id(parameter): index for index, parameter in enumerate(grouped)}
    moments: dict[int, dict[str, Tensor]] = {}
    for key, value in found.items():
        name, _, moment = key.rpartition(".")
        parameter = parameters[name]
        if value.ndim:
            # The fused optimiser walks memory: moments must have their parameter's layout.
            value = torch.empty_like(parameter).copy_(value)
        moments.setdefault(index_of[id(parameter)], {})[moment] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": moments})


def _states(out: Path) -> list[Path]:
    """The states of a run, oldest first."""
    return sorted((out / "state").glob("step-*"), key=_step)


def _step(state: Path) -> int:
    return int(state.name.partition("-")[2])


def _drop(state: Path) -> None:
    """Remove a state so that no remaining part can be taken for a state."""
    gone = state.with_name(f".{state.name}.dropped.{os.getpid()}.tmp")
    with contextlib.suppress(OSError):
        state.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)


# --- what may change in a run that goes on --------------------------------------------------------

_FIXED = ("seed", "flip", "crop")
_DEFAULTS = ("tau", "candidates")  # of a task: how its model samples
_FREE = (
    "the budget, rates, weights above 0, intervals and device can change; for anything else start "
    "a new --out, with --init-from {out}"
)


def check_unchanged(config: RunConfig) -> None:
    """Compare the config with `config.toml` in the run's folder, if that can be read.

    Order and noise follow from the seed, what is held out does, too, and a state knows its phase by
    number alone. So these fields are those that the run began with.

    Raises:
        CaflowError: (exit 2) seed, method, task, flow or how examples are made of images differ, or
            the run would have other phases.
    """
    began = _began_with(Path(config.out) / "config.toml")
    if began is None:
        return
    now, before = _fixed(config), _fixed(began)
    for name in now:
        if now[name] != before[name]:
            raise CaflowError(
                f"{name} is {now[name]!r}, and the run in {config.out!r} began with "
                f"{before[name]!r}",
                f"leave it at that: {_FREE.format(out=config.out)}",
                EXIT_USAGE,
            )


def _began_with(path: Path) -> RunConfig | None:
    """The config that a run wrote when it began; None if there is none that can be read.

    Raises:
        CaflowError: (exit 2) the run trained its guide together with the flows.
    """
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
        config = parse(RunConfig, upgrade(values))
    except (OSError, ValueError, CaflowError):
        return None
    if config.flow.guides and values["optim"].get("guide_lr_share"):
        raise CaflowError(
            f"the run in {str(path.parent)!r} trained its guide together with the flows, which "
            "this version does not support",
            "start a new --out, with --init-from",
            EXIT_USAGE,
        )
    return config


def _fixed(config: RunConfig) -> dict[str, Any]:
    """Everything that stays as it began, by name."""
    found: dict[str, Any] = {name: getattr(config, name) for name in _FIXED}
    found["masks"] = config.masks is not None  # the same masks may have another path
    found["mask_share"] = config.mask_share if config.masks is not None else None
    for name in ("method", "batch_size"):
        found[f"optim.{name}"] = getattr(config.optim, name)
    for table in ("task", "flow"):
        for name, value in asdict(getattr(config, table)).items():
            if table == "flow" or name not in _DEFAULTS:
                found[f"{table}.{name}"] = value
    # What is 0 or above 0 decides which there are.
    phases = phases_of(config.optim, config.flow, None, config.samples)
    found["phases"] = ", ".join(phase.name for phase in phases)
    return found
