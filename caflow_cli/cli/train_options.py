"""The options of `caflow train` that say what a run is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from ..config import PRESETS, TASK_NAMES
from . import completion, options

__all__ = ["RunOptions"]


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """The options for the task, the data, the start and the budget of a run."""

    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            metavar="DATA",
            help="Pictures: a folder, zip, manifest (CSV, JSON lines), WebDataset shards, Parquet, "
            "or hf://owner/name. Folders train/, val/, test/ are used.",
        ),
    ] = None
    crop: Annotated[
        str | None,
        typer.Option(
            "--crop",
            metavar="HOW",
            help="random: learn parts of pictures of any size. Default: whole, pictures shrunk.",
        ),
    ] = None
    task: Annotated[
        str | None,
        typer.Option(
            "--task",
            metavar="TASK",
            help=f"{', '.join(TASK_NAMES)}. Default: superres.",
            autocompletion=completion.tasks,
        ),
    ] = None
    preset: Annotated[
        str | None,
        typer.Option(
            "--preset",
            metavar="P",
            help=f"Architecture: {', '.join(PRESETS)}. Default: compact, for a CPU; the "
            "others have the paper's size.",
            autocompletion=completion.presets,
        ),
    ] = None
    config: Annotated[
        str | None,
        typer.Option("--config", metavar="FILE", help="A TOML file like RUN/config.toml."),
    ] = None
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Set any field, such as optim.lr=0.001."),
    ] = None
    init_from: Annotated[
        str | None,
        typer.Option(
            "--init-from",
            metavar="MODEL",
            help="Start from this model's weights. Only the guide of its flow may differ.",
            autocompletion=completion.models,
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
        bool, typer.Option("--resume", help="Go on with the run in RUN, with its own config.")
    ] = False
    minutes: Annotated[
        float | None, typer.Option("--minutes", metavar="M", help="Budget in minutes.")
    ] = None
    images: Annotated[
        int | None, typer.Option("--images", metavar="N", help="Budget in images seen.")
    ] = None
    batch_size: Annotated[
        int | None, typer.Option("--batch-size", metavar="B", help="Images in a step.")
    ] = None
    lr: Annotated[float | None, typer.Option("--lr", metavar="X", help="Peak learning rate.")] = (
        None
    )
    seed: Annotated[
        int | None,
        typer.Option(
            "--seed", metavar="S", help="Seed of order, noise and first weights. Default: 0."
        ),
    ] = None
    device: options.DeviceOrConfigs = None
    compiled: Annotated[
        bool, typer.Option("--compile", help="Compile the flow steps first, which takes minutes.")
    ] = False
    checkpoint: Annotated[
        bool,
        typer.Option(
            "--checkpoint-activations",
            help="Use less memory, and a quarter to a half as much time again.",
        ),
    ] = False
