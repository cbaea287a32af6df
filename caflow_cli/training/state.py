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
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor
from torch.optim import Optimizer

from ..config import Config, FlowConfig
from ..errors import CaflowError, check_usage, usage_error
from ..images import atomic_write, remove_leftovers
from ..model import CAFlow, read_info, upgrade
from ..records import parse
from .config import RunConfig
from .log import METRICS, Progress
from .optim import EMA, Guard, named_parameters
from .phases import GUIDE, phases_of

_RECORD = "state.json"
_ROLLBACKS = 5  # to one and the same state; then training fails


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
        message = f"another process is training in {str(out)!r}"
        raise usage_error(message, "stop it, or choose another --out") from error
    except OSError as error:
        message = f"cannot write to {str(out)!r}: {error.strerror}"
        raise usage_error(message, "choose another --out") from error
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
    has_run = (out / METRICS).exists() and (bool(_states(out)) or any(out.glob("*.safetensors")))
    message, hint = f"{str(out)!r} holds a run already", "add --resume, or choose another --out"
    check_usage(resume or not has_run, message, hint)


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
    weights, flow = CAFlow.load(path).state_dict(), read_info(path).config.flow
    # R reads the image that a guide predicts, so whether there is one counts.
    ours, theirs = (
        {k: v for k, v in asdict(one).items() if k not in FlowConfig.GUIDE_FIELDS}
        | {"guided": bool(one.guides)}
        for one in (config.flow, flow)
    )
    check_usage(
        theirs == ours,
        f"{config.init_from!r} has another architecture than the run",
        "take the run's [flow] from that model's config; only its guide may differ",
    )
    if not flow.same_guide(config.flow):
        fresh = {k: v for k, v in model.state_dict().items() if k.startswith(GUIDE)}
        weights = {k: v for k, v in weights.items() if not k.startswith(GUIDE)} | fresh
    model.load_state_dict(weights)
    return model


# --- states ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class States:
    """The states of a run: `state/step-NNNNNNNN`, of which the last two stay."""

    out: Path  # the run's folder
    every: int  # steps between regular states
    model: CAFlow
    ema: EMA
    optimizer: Optimizer
    guard: Guard
    progress: Progress

    def save(self) -> None:
        """Write a state, whole or not at all, and drop all but it and the one before.

        Of the two, the older one is one of those that are written every so many steps or as a phase
        begins. So the state to which a run goes back does not depend on when it was interrupted.

        Raises:
            CaflowError: The folder cannot be written to. Older states do not change.
        """
        final = self.out / "state" / f"step-{self.progress.step:08d}"
        temporary = final.with_name(f".{final.name}.{os.getpid()}.tmp")
        moments = {
            f"{name}.{moment}": value
            for name, parameter in named_parameters(self.model).items()
            for moment, value in self.optimizer.state.get(parameter, {}).items()
        }
        averages = self.ema.model.state_dict()
        files = {"model": self.model.state_dict(), "ema": averages, "optimizer": moments}
        record = {"guard": asdict(self.guard), "ema_updates": self.ema.updates}
        try:
            final.parent.mkdir(parents=True, exist_ok=True)
            for left in final.parent.glob(".step-*.tmp"):  # by a run that was killed
                shutil.rmtree(left, ignore_errors=True)
            temporary.mkdir()
            for name, tensors in files.items():
                plain = {key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}
                atomic_write(temporary / f"{name}.safetensors", save(plain))
            text = json.dumps({**asdict(self.progress), **record}, indent=2)
            atomic_write(temporary / _RECORD, text.encode())
            if final.exists():
                _drop(final)
            temporary.rename(final)
        except (OSError, CaflowError) as error:
            reason = error.strerror or error if isinstance(error, OSError) else error.message
            raise CaflowError(
                f"cannot write the state of step {self.progress.step}: {reason}",
                f"free space, then: caflow train --out {self.out} --resume",
            ) from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        older = [state for state in _states(self.out) if state != final]
        regular = [state for state in older if self._is_regular(state)]
        for state in older:
            if state != (regular or older)[-1]:
                _drop(state)

    def load_newest(self) -> str | None:
        """Restore the newest readable state. Returns the error of a newer one, if there is one.

        Raises:
            CaflowError: (exit 2) there is no state, or none fits.
        """
        failure: CaflowError | None = None
        for state in reversed(_states(self.out)):
            try:
                record = self.load(state)
            except CaflowError as error:
                failure = failure or error
            else:
                vars(self.guard).update(record["guard"])
                vars(self.progress).update({name: record[name] for name in vars(self.progress)})
                return failure.message if failure else None
        raise failure or usage_error(
            f"no state to resume in {str(self.out / 'state')!r}",
            "leave --resume out, or start a new --out from the run's model with --init-from",
        )

    def roll_back(self) -> bool:
        """Restore the weights of the last state whose next loss was good; the steps go on.

        States that interrupts have made do not count, nor do those of an earlier phase, whose
        losses are of another kind. False if there is none, or after 5 returns without success.
        """
        guard, progress = self.guard, self.progress
        good = range(progress.phase_began_at, progress.step - guard.bad_in_a_row + 1)
        states = [s for s in _states(self.out) if _step(s) in good and self._is_regular(s)]
        if not states:
            return False
        step = _step(states[-1])
        guard.returns = guard.returns + 1 if step == guard.returned_to else 1
        if guard.returns > _ROLLBACKS:
            return False
        guard.mean = self.load(states[-1])["guard"]["mean"]
        guard.bad_in_a_row, guard.returned_to = 0, step
        guard.rollbacks += 1
        return True

    def load(self, state: Path) -> dict[str, Any]:
        """Restore model, average and optimiser. Returns the record of the rest.

        Raises:
            CaflowError: (exit 2) the state is damaged, or of another architecture.
        """
        try:
            record: dict[str, Any] = json.loads((state / _RECORD).read_text(encoding="utf-8"))
            self.model.load_state_dict(load_file(state / "model.safetensors"))
            self.ema.model.load_state_dict(load_file(state / "ema.safetensors"))
            self.ema.updates = record["ema_updates"]
            # Moments by name: groups, and so the optimiser's indices, follow from the config.
            parameters = named_parameters(self.model)
            grouped = [p for group in self.optimizer.param_groups for p in group["params"]]
            index_of = {id(parameter): index for index, parameter in enumerate(grouped)}
            moments: dict[int, dict[str, Tensor]] = {}
            for key, value in load_file(state / "optimizer.safetensors").items():
                name, _, moment = key.rpartition(".")
                parameter = parameters[name]
                if value.ndim:
                    # The fused optimiser walks memory: moments must have their parameter's layout.
                    value = torch.empty_like(parameter).copy_(value)
                moments.setdefault(index_of[id(parameter)], {})[moment] = value
            self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": moments})
            return record
        except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
            raise usage_error(
                f"cannot resume from {str(state)!r}: {' '.join(str(error).split())[:160]}",
                "do not change [flow] of a run; for another model take a new --out and --init-from",
            ) from error

    def _is_regular(self, state: Path) -> bool:
        return _step(state) % self.every == 0 or _step(state) == self.progress.phase_began_at


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


def check_unchanged(config: RunConfig) -> None:
    """Compare the config with `config.toml` in the run's folder, if that can be read.

    Order and noise follow from the seed, what is held out does, too, and a state knows its phase by
    number alone. So these fields are those that the run began with.

    Raises:
        CaflowError: (exit 2) seed, method, task, flow or how examples are made of images differ, or
            the run would have other phases, or this version does not support the run.
    """
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        values = tomllib.loads(Path(config.out, "config.toml").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return
    began = parse(RunConfig, upgrade(values))
    check_usage(
        not (began.flow.guides and values["optim"].get("guide_lr_share")),
        f"the run in {config.out!r} trained its guide together with the flows, which this version "
        "does not support",
        "start a new --out, with --init-from",
    )
    now, before = _fixed(config), _fixed(began)
    for name, value in now.items():
        check_usage(
            value == before[name],
            f"{name} is {value!r}, and the run in {config.out!r} began with {before[name]!r}",
            "leave it at that: the budget, rates, weights above 0, intervals and device can "
            f"change; for anything else start a new --out, with --init-from {config.out}",
        )


def _fixed(config: RunConfig) -> dict[str, Any]:
    """Everything that stays as it began, by name."""
    optim, task, has_masks = config.optim, asdict(config.task), config.masks is not None
    phases = phases_of(optim, config.flow, config.samples)
    return {
        **{name: getattr(config, name) for name in ("seed", "flip", "crop")},
        "masks": has_masks,  # the same masks may have another path
        "mask_share": config.mask_share if has_masks else None,
        "optim.method": optim.method,
        "optim.batch_size": optim.batch_size,
        # But for how the model samples by default.
        **{f"task.{k}": task[k] for k in task.keys() - {"tau", "candidates"}},
        **{f"flow.{k}": v for k, v in asdict(config.flow).items()},
        "phases": ", ".join(phase.name for phase in phases),  # a weight of 0 leaves one out
    }
