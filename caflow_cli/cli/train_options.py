"""The options of `caflow train` that say what a run is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from . import options

__all__ = ["RunOptions"]


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """The options for the task, the data, the start and the budget of a run."""

    data: Annotated[
        str | None,
        typer.Option(
            "--data", metavar="FOLDER|ZIP", help="Pictures; train/, val/, test/ are used if there."
        ),
    ] = None
    task: Annotated[
        str | None, typer.Option("--task", metavar="TASK", help="Default: superres.")
    ] = None
    preset: Annotated[
        str | None, typer.Option("--preset", metavar="P", help="Architecture. Default: compact.")
    ] = None
    config: Annotated[
        str | None, typer.Option("--config", metavar="FILE", help="TOML, as in RUN/config.toml.")
    ] = None
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any field, such as optim.lr=0.001."),
    ] = None
    init_from: Annotated[
        str | None,
        typer.Option(
            "--init-from",
            metavar="MODEL",
            help="Start from this model's weights: same flow, but for its guide.",
        ),
    ] = None
    perceptual_weights: Annotated[
        str | None,
        typer.Option(
            "--perceptual-weights",
            metavar="FILE",
            help="VGG16's trunk, for a guide that learns how pictures look. Default: "
            "CAFLOW_LPIPS_VGG_WEIGHTS, torch's cache, a download.",
        ),
    ] = None
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with RUN, with its own config.")
    ] = False
    minutes: Annotated[
        float | None, typer.Option("--minutes", metavar="M", help="Budget of time.")
    ] = None
    images: Annotated[
        int | None, typer.Option("--images", metavar="N", help="Budget of images seen.")
    ] = None
    batch_size: Annotated[
        int | None, typer.Option("--batch-size", metavar="B", help="Images a step.")
    ] = None
    lr: Annotated[float | None, typer.Option("--lr", metavar="X", help="Peak rate.")] = None
    seed: Annotated[
        int | None,
        typer.Option("--seed", metavar="S", help="Of order, noise, start. Default: 0."),
    ] = None
    device: options.DeviceOrConfigs = None
    compiled: Annotated[
        bool, typer.Option("--compile", help="Compile the flow steps first: takes minutes.")
    ] = False
    checkpoint: Annotated[
        bool,
        typer.Option("--checkpoint-activations", help="Less memory, for half as much time again."),
    ] = False
