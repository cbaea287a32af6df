"""`caflow train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import EXIT_USAGE, CaflowError
from . import options
from .console import Console

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
        typer.Option("--init-from", metavar="MODEL", help="Start from this model's weights."),
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
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Train a model on a folder or zip of pictures.

    Writes config.toml, metrics.jsonl, samples/, last.safetensors and best.safetensors into RUN, and
    the state that --resume goes on from. Interrupting loses what came after the last validation.

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
    overlay = {"out": out, "data": data, "seed": seed, "device": device}
    values.update({key: value for key, value in overlay.items() if value is not None})
    if "data" not in values:
        raise CaflowError("no data named", "--data FOLDER or --data FILE.zip", EXIT_USAGE)

    from dataclasses import asdict

    from ..hub.resolve import resolve
    from ..model import preset as preset_flow
    from ..model import read_info
    from ..tasks import task_named
    from ..training import train
    from ..training.config import PRESET_OPTIM, apply_settings

    if preset is not None:
        values["flow"] = asdict(preset_flow(preset))
        values["optim"] = {**PRESET_OPTIM.get(preset, {}), **optim}
    if init_from is not None:
        path = resolve(init_from).path.resolve()
        source = read_info(path).config
        values["init_from"] = str(path)
        values.setdefault("flow", asdict(source.flow))
        values.setdefault("task", asdict(source.task))
    if task is not None:
        values.setdefault("task", {})["name"] = task
    if init_from is None and preset in (None, "compact"):  # a preset of no task in particular
        channels = task_named(values.get("task", {}).get("name", "superres")).channels
        flow = values.setdefault("flow", {})
        if preset is not None or "cond_channels" not in flow:
            flow["cond_channels"] = channels[0]
    run = apply_settings(values, settings or [])

    with console.progress("{task.percentage:>3.0f}%", "{task.fields[figures]}") as progress:
        bar = progress.add_task("training", total=1.0, figures="")

        def report(event: dict[str, Any]) -> None:
            if event["event"] == "step":
                progress.update(
                    bar,
                    completed=event["progress"],
                    figures=f"{event['images_per_second']:.0f} images/s  "
                    f"{_number(event['train_bits_per_dim'])} bits/dim",
                )
                if not console.live:
                    console.note(
                        f"step {event['step']}  {event['progress']:.1%}  "
                        f"{event['images_per_second']:.1f} images/s  "
                        f"{_number(event['train_bits_per_dim'])} bits/dim"
                    )
            elif event["event"] == "validation":
                text = (
                    f"step {event['step']}  validation {_number(event['val_bits_per_dim'])} "
                    f"bits/dim  train {_number(event['train_bits_per_dim'])}"
                )
                progress.console.print(text) if console.live else console.note(text)
            elif event["event"] == "data" and event["skipped"]:
                names = ", ".join(event["skipped_names"])
                console.note(f"{event['skipped']} damaged pictures left out: {names}")
            elif event["event"] == "rollback":
                console.note(
                    f"step {event['step']}: unstable; back to the last good state with "
                    f"{event['lr_scale']:g} times the learning rate"
                )

        summary = train(run, resume=resume, report=report)
    if as_json:
        console.json({"schema": 1, "command": "train", "status": "ok", **asdict(summary)})
    else:
        console.result(str(Path(out) / "best.safetensors"))
    console.note(
        f"{summary.images} images in {summary.minutes:.1f} minutes "
        f"({summary.images_per_second:.1f} a second); bits/dim: train "
        f"{summary.train_bits_per_dim:.4f}, validation {summary.val_bits_per_dim:.4f}, best "
        f"{summary.best_val_bits_per_dim:.4f}; {summary.skipped_steps} steps skipped"
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"  # None: nothing finite yet


def _read_config(out: str, config: str | None, resume: bool) -> dict[str, Any]:
    """The config to start from: a file, the run's own, or nothing."""
    if config is None and resume:
        own = Path(out) / "config.toml"
        if not own.is_file():
            raise CaflowError(
                f"no run to resume in {out!r}", "leave --resume out to start one", EXIT_USAGE
            )
        config = str(own)
    values = _read_toml(config) if config is not None else {}
    for name in ("optim", "flow", "task"):
        if not isinstance(values.get(name, {}), dict):
            raise CaflowError(f"{name!r} in {config!r} is no table", f"a line [{name}]", EXIT_USAGE)
    values.setdefault("optim", {})
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
