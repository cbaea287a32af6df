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
    task: Annotated[str, typer.Option("--task", metavar="TASK", help="superres.")] = "superres",
    preset: Annotated[str, typer.Option("--preset", metavar="P", help="Architecture.")] = "compact",
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
    seed: Annotated[int, typer.Option("--seed", metavar="S", help="Of order, noise, start.")] = 0,
    device: options.Device = "auto",
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
    out_path = Path(out)
    values: dict[str, Any] = {}
    source = str(out_path / "config.toml") if resume and config is None else config
    if source is not None:
        values = _read_toml(source)
    given = {"batch_size": batch_size, "lr": lr, "images": images, "minutes": minutes}
    optim = values.setdefault("optim", {})
    if minutes is not None or images is not None:
        optim.pop("images", None)
        optim.pop("minutes", None)
    optim.update({key: value for key, value in given.items() if value is not None})
    values["out"] = out
    if data is not None:
        values["data"] = data
    if "data" not in values:
        raise CaflowError("no data named", "--data FOLDER or --data FILE.zip", EXIT_USAGE)

    from ..hub import resolve
    from ..inference import select_device
    from ..model import preset as preset_flow
    from ..model import read_info
    from ..training import train
    from ..training.config import apply_settings

    if source is None:
        values.update(task={"name": task}, seed=seed, device=device)
        if init_from is None:
            values["flow"] = _fields(preset_flow(preset))
    if init_from is not None:
        path = resolve(init_from).path
        values["init_from"], values["flow"] = str(path), _fields(read_info(path).config.flow)
    run = apply_settings(values, settings or [])
    select_device(run.device)

    with console.progress("{task.percentage:>3.0f}%", "{task.fields[figures]}") as progress:
        bar = progress.add_task("training", total=1.0, figures="")

        def report(event: dict[str, Any]) -> None:
            if event["event"] == "step":
                progress.update(
                    bar,
                    completed=event["progress"],
                    figures=f"{event['images_per_second']:.0f} images/s  "
                    f"{event['train_bits_per_dim']:.3f} bits/dim",
                )
                if not console.live:
                    console.note(
                        f"step {event['step']}  {event['progress']:.1%}  "
                        f"{event['images_per_second']:.1f} images/s  "
                        f"{event['train_bits_per_dim']:.4f} bits/dim"
                    )
            elif event["event"] == "validation":
                text = (
                    f"step {event['step']}  validation {event['val_bits_per_dim']:.4f} bits/dim  "
                    f"train {event['train_bits_per_dim']:.4f}"
                )
                progress.console.print(text) if console.live else console.note(text)
            elif event["event"] == "rollback":
                console.note(
                    f"step {event['step']}: non-finite steps; back to the last good state with "
                    f"{event['lr_scale']:g} times the learning rate"
                )

        summary = train(run, resume=resume, report=report)
    if as_json:
        from dataclasses import asdict

        console.json({"schema": 1, "command": "train", "status": "ok", **asdict(summary)})
    else:
        console.result(str(out_path / "best.safetensors"))
    console.note(
        f"{summary.images} images in {summary.minutes:.1f} minutes "
        f"({summary.images_per_second:.1f} a second); bits/dim: train "
        f"{summary.train_bits_per_dim:.4f}, validation {summary.val_bits_per_dim:.4f}, best "
        f"{summary.best_val_bits_per_dim:.4f}; {summary.skipped_steps} steps skipped"
    )


def _fields(value: Any) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(value)


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
    except tomllib.TOMLDecodeError as error:
        raise CaflowError(
            f"config {path!r} is not TOML: {error}", "see RUN/config.toml of a run", EXIT_USAGE
        ) from error
