"""The config of a run: values of a file, which flags override."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..data.missing import check_there, of_masks
from ..errors import EXIT_USAGE, CaflowError
from ..paths import is_file
from .train_options import RunOptions

if TYPE_CHECKING:
    from ..training import RunConfig

__all__ = ["read_config", "run_config"]

_Table = dict[str, Any]  # of TOML


def run_config(out: str, given: RunOptions) -> RunConfig:
    """The config that the options describe.

    Args:
        out: Folder of the run, as typed.
        given: The options.

    Raises:
        CaflowError: (exit 2) the file cannot be read, a field does not exist, there is no data, or
            an option with `--resume` would make it another run. (exit 3) the model to start from
            does not exist.
    """
    if given.resume:
        _check_unchanged(out, given)
    values = read_config(out, given.config, given.resume)
    _lay_over(values, given)
    values["out"] = out
    if "data" not in values:
        raise CaflowError("no data named", "--data FOLDER or --data FILE.zip", EXIT_USAGE)

    from ..hub.resolve import resolve
    from ..model import read_info
    from ..training.settings import build_config, merged

    _check_paths(merged(values, given.settings or []))
    start = None
    if given.init_from is not None:
        path = resolve(given.init_from).path.resolve()
        start, values["init_from"] = read_info(path).config, str(path)
    return build_config(
        values, given.settings or [], preset=given.preset, task=given.task, start=start
    )


def _lay_over(values: _Table, given: RunOptions) -> None:
    """Lay options over values, all but those that say how the model is made."""
    optim = values.setdefault("optim", {})
    if given.minutes is not None or given.images is not None:
        optim.pop("images", None)
        optim.pop("minutes", None)
    for name in ("batch_size", "lr", "images", "minutes"):
        if (value := getattr(given, name)) is not None:
            optim[name] = value
    if given.compiled:
        optim["compile"] = True
    if given.checkpoint:
        optim["checkpoint_activations"] = True
    for name in ("data", "crop", "seed", "device", "perceptual_weights"):
        if (value := getattr(given, name)) is not None:
            values[name] = value


def _check_paths(values: _Table) -> None:
    """Refuse data and masks that are not there. CaflowError (exit 2)."""
    data, masks = values["data"], values.get("masks")
    if isinstance(data, str):
        check_there(data)
    if isinstance(masks, str):
        with of_masks():
            check_there(masks)


def _check_unchanged(out: str, given: RunOptions) -> None:
    fixed = {
        "--task": given.task,
        "--preset": given.preset,
        "--init-from": given.init_from,
        "--seed": given.seed,
        "--crop": given.crop,
    }
    for option, value in fixed.items():
        if value is not None:
            raise CaflowError(
                f"{option} cannot change a run that goes on",
                f"caflow train --out {out} --resume",
                EXIT_USAGE,
            )


def read_config(out: str, config: str | None, resume: bool) -> _Table:
    """The values to start from: those of a file, of the run itself, or none.

    Args:
        out: Folder of the run.
        config: The file, as typed.
        resume: Whether the run goes on. Then its own `config.toml` is read if no file is named,
            and says the method if a file that is named does not.
    """
    own = Path(out) / "config.toml"
    if config is None and resume:
        if not is_file(own):
            raise CaflowError(
                f"no run to resume in {out!r}", "leave --resume out to start one", EXIT_USAGE
            )
        config = str(own)
    values = _read_toml(config) if config is not None else {}
    if resume and is_file(own):
        from ..training.settings import with_method

        with contextlib.suppress(CaflowError):  # it may be damaged where another file is named
            values = with_method(values, _read_toml(str(own)))
    for name in ("optim", "flow", "task", "samples"):
        if not isinstance(values.get(name, {}), dict):
            raise CaflowError(
                f"{name!r} in {config!r} is not a table", f"write a line [{name}]", EXIT_USAGE
            )
    values.setdefault("optim", {})
    for name in ("data", "out", "init_from", "masks"):
        if isinstance(values.get(name), str):  # a path, as the system's language spells it
            values[name] = os.fsdecode(values[name].encode())
    return values


def _read_toml(path: str) -> _Table:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    from ..model import upgrade

    try:
        with Path(path).open("rb") as file:
            return upgrade(tomllib.load(file))
    except OSError as error:
        raise CaflowError(
            f"cannot read config {path!r}: {error.strerror}", "--config FILE.toml", EXIT_USAGE
        ) from error
    except ValueError as error:  # not TOML, or not UTF-8
        raise CaflowError(
            f"config {path!r} is not TOML: {error}", "see RUN/config.toml of a run", EXIT_USAGE
        ) from error
