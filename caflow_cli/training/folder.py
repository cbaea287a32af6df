"""The folder of a run: how it is opened, and what a resumed run may change."""

import contextlib
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from filelock import FileLock, Timeout

from ..errors import CaflowError, check_usage, usage_error
from ..records import Table, parse, read_toml
from .config import RunConfig
from .log import METRICS
from .phases import phases_of
from .trainer import states_of


@contextlib.contextmanager
def open_run(out: Path, resume: bool) -> Iterator[None]:
    """Create the folder of a run and lock it, so that only one process at a time uses it.

    Raises:
        CaflowError: (exit 2) the folder has a run already, is in use, or cannot be written to.
    """
    lock = FileLock(out / ".lock")
    try:
        out.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout as error:
        raise usage_error(
            f"another process is training in {str(out)!r}", "stop it, or choose another --out"
        ) from error
    except OSError as error:
        raise usage_error(
            f"cannot write to {str(out)!r}: {error.strerror}", "choose another --out"
        ) from error
    try:
        check_new(out, resume)  # under the lock: another process may just have finished a run
        yield
    finally:
        with contextlib.suppress(OSError):
            if not (out / METRICS).exists():  # leave no trace of a run that never began
                (out / ".lock").unlink()
                lock.release()
                out.rmdir()  # only if empty
        lock.release()


def check_new(out: Path, resume: bool) -> None:
    """Raise CaflowError (exit 2) for a new run in a folder that has one. Writes nothing."""
    saved = [*states_of(out), *out.glob("*.safetensors")]
    check_usage(
        resume or not saved or not (out / METRICS).exists(),
        f"{str(out)!r} already holds a run",
        "add --resume, or choose another --out",
    )


def begun(out: str) -> RunConfig | None:
    """The config with which the run in a folder began, if its `config.toml` can be read.

    Raises:
        CaflowError: (exit 2) this version does not support the run.
    """
    try:
        values = read_toml(Path(out, "config.toml"))
    except CaflowError:
        return None
    return parse(RunConfig, values)


def check_unchanged(config: RunConfig) -> None:
    """Compare the config with `config.toml` in the run's folder, if that can be read.

    The seed determines order, noise and held-out images, and a state identifies its phase only by
    number. So the fields that affect them must not change during a run.

    Raises:
        CaflowError: (exit 2) seed, batch size, method, task, flow, phases, or how examples are made
            from images differ; or this version does not support the run.
    """
    began = begun(config.out)
    if began is None:
        return
    before = _fixed(began)
    for name, value in _fixed(config).items():
        check_usage(
            value == before[name],
            f"{name} is {value!r}, and the run in {config.out!r} began with {before[name]!r}",
            "keep that value: the budget, rates, weights above 0, the device, and how often to "
            "validate and save can change; for anything else start a new --out, with --init-from "
            f"{config.out}",
        )


def _fixed(config: RunConfig) -> Table:
    optim = config.optim
    task = asdict(config.task)
    has_masks = config.masks is not None
    return {
        **{
            name: getattr(config, name)
            for name in ("seed", "hold_out", "flip", "transpose", "recolor", "crop", "depth")
        },
        "masks": has_masks,  # the same masks may have another path
        "mask_share": config.mask_share if has_masks else None,
        "guide": config.guide.sha256 if config.guide else None,
        "optim.method": optim.method,
        "optim.batch_size": optim.batch_size,
        # Except for the default sampling settings.
        **{f"task.{k}": task[k] for k in task.keys() - {"tau", "candidates"}},
        **{f"flow.{k}": v for k, v in asdict(config.flow).items()},
        "phases": ", ".join(
            phase.name for phase in phases_of(optim, config.flow, config.samples)
        ),  # a weight of 0 omits a phase
    }
