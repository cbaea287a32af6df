"""`caflow train`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import EXIT_USAGE, CaflowError
from ..paths import is_file
from . import options
from .console import Console
from .memory import memory_errors
from .records import SCHEMA
from .train_display import Display, describe_estimate, describe_summary

if TYPE_CHECKING:
    from ..training import RunConfig

__all__ = ["train_command"]


def train_command(
    out: Annotated[str, typer.Option("--out", metavar="RUN", help="Folder of the run.")],
    data: Annotated[
        str | None,
        typer.Option(
            "--data", metavar="FOLDER|ZIP", help="Pictures; train/, val/, test/ are used if there."
        ),
    ] = None,
    task: Annotated[
        str | None, typer.Option("--task", metavar="TASK", help="Default: superres.")
    ] = None,
    preset: Annotated[
        str | None, typer.Option("--preset", metavar="P", help="Architecture. Default: compact.")
    ] = None,
    config: Annotated[
        str | None, typer.Option("--config", metavar="FILE", help="TOML, as in RUN/config.toml.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any field, such as optim.lr=0.001."),
    ] = None,
    init_from: Annotated[
        str | None,
        typer.Option(
            "--init-from",
            metavar="MODEL",
            help="Start from this model's weights: same flow, but for its guide.",
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with RUN, with its own config.")
    ] = False,
    minutes: Annotated[
        float | None, typer.Option("--minutes", metavar="M", help="Budget of time.")
    ] = None,
    images: Annotated[
        int | None, typer.Option("--images", metavar="N", help="Budget of images seen.")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option("--batch-size", metavar="B", help="Images a step.")
    ] = None,
    lr: Annotated[float | None, typer.Option("--lr", metavar="X", help="Peak rate.")] = None,
    seed: Annotated[
        int | None,
        typer.Option("--seed", metavar="S", help="Of order, noise, start. Default: 0."),
    ] = None,
    device: options.DeviceOrConfigs = None,
    compiled: Annotated[
        bool, typer.Option("--compile", help="Compile the flow steps first: takes minutes.")
    ] = False,
    checkpoint: Annotated[
        bool,
        typer.Option("--checkpoint-activations", help="Less memory, for half as much time again."),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Count, time a few steps, say what RUN would take."),
    ] = False,
    as_json: options.JsonResult = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Train a model on a folder or zip of pictures.

    Writes config.toml, metrics.jsonl, curve.png, samples/, last.safetensors and best.safetensors
    into RUN, and the state that --resume goes on from. Ctrl-C and SIGTERM finish the step and write
    that state; a second Ctrl-C stops at once. Under `accelerate launch -m caflow_cli train ...` it
    trains on many devices.

    Example: caflow train --task superres --data photos/ --out run --minutes 120
    """
    console = Console(quiet, verbose)
    fixed = {"--task": task, "--preset": preset, "--init-from": init_from, "--seed": seed}
    if resume:
        for option, value in fixed.items():
            if value is not None:
                raise CaflowError(
                    f"{option} cannot change what a run is when it goes on",
                    f"caflow train --out {out} --resume",
                    EXIT_USAGE,
                )
    values = _read_config(out, config, resume)
    optim = values["optim"]
    if minutes is not None or images is not None:
        optim.pop("images", None)
        optim.pop("minutes", None)
    given = {"batch_size": batch_size, "lr": lr, "images": images, "minutes": minutes}
    optim.update({key: value for key, value in given.items() if value is not None})
    switches = {"compile": compiled, "checkpoint_activations": checkpoint}
    optim.update({key: True for key, on in switches.items() if on})
    overlay = {"out": out, "data": data, "seed": seed, "device": device}
    values.update({key: value for key, value in overlay.items() if value is not None})
    if "data" not in values:
        raise CaflowError("no data named", "--data FOLDER or --data FILE.zip", EXIT_USAGE)

    from ..checkpoint import read_info
    from ..hub.resolve import resolve
    from ..training.settings import build_config

    start = None
    if init_from is not None:
        path = resolve(init_from).path.resolve()
        start, values["init_from"] = read_info(path).config, str(path)
    run = build_config(values, settings or [], preset=preset, task=task, start=start)
    if dry_run:
        _estimate(run, resume, console, as_json)
    else:
        _train(run, resume, console, as_json)


def _train(run: RunConfig, resume: bool, console: Console, as_json: bool) -> None:
    from dataclasses import asdict

    from ..training import Stopped, train

    with console.progress("{task.percentage:>3.0f}%", "{task.fields[figures]}") as progress:
        parts = 2 * run.optim.accumulate
        smaller = f"--set optim.accumulate={parts}, which makes the same step in {parts} parts"
        try:
            with memory_errors(smaller, "a step of this model"):
                summary = train(run, resume=resume, report=Display(console, progress))
        except Stopped as stop:
            progress.stop()
            console.note(f"{stop.message}\nhint: {stop.hint}")
            # Past Typer, after whose 130 `main` would say again that it was interrupted.
            raise SystemExit(stop.exit_code) from stop
    if not _main_rank():
        return
    if as_json:
        console.json({"schema": SCHEMA, "command": "train", "status": "ok", **asdict(summary)})
    else:
        console.result(str(Path(run.out) / "best.safetensors"))
    console.note(describe_summary(summary))


def _estimate(run: RunConfig, resume: bool, console: Console, as_json: bool) -> None:
    from dataclasses import asdict

    from ..training.dry_run import estimate

    figures = estimate(run, resume)
    if not _main_rank():
        return
    if as_json:
        console.json({"schema": SCHEMA, "command": "train", "status": "dry-run", **asdict(figures)})
        return
    for line in describe_estimate(figures):
        console.result(line)


def _main_rank() -> bool:
    return os.environ.get("RANK", "0") == "0"  # as launchers of many processes say


def _read_config(out: str, config: str | None, resume: bool) -> dict[str, Any]:
    """The config to start from: a file, the run's own, or nothing."""
    if config is None and resume:
        own = Path(out) / "config.toml"
        if not is_file(own):
            raise CaflowError(
                f"no run to resume in {out!r}", "leave --resume out to start one", EXIT_USAGE
            )
        config = str(own)
    values = _read_toml(config) if config is not None else {}
    for name in ("optim", "flow", "task"):
        if not isinstance(values.get(name, {}), dict):
            raise CaflowError(f"{name!r} in {config!r} is no table", f"a line [{name}]", EXIT_USAGE)
    values.setdefault("optim", {})
    for name in ("data", "out", "init_from"):
        if isinstance(values.get(name), str):  # a path, as the system's language spells it
            values[name] = os.fsdecode(values[name].encode())
    return values


def _read_toml(path: str) -> dict[str, Any]:
    import sys

    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        with Path(path).open("rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise CaflowError(
            f"cannot read config {path!r}: {error.strerror}", "--config FILE.toml", EXIT_USAGE
        ) from error
    except ValueError as error:  # not TOML, or not UTF-8
        raise CaflowError(
            f"config {path!r} is not TOML: {error}", "see RUN/config.toml of a run", EXIT_USAGE
        ) from error
