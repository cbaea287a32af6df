"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

from . import completion

__all__ = [
    "MESSAGES",
    "MODEL",
    "MODEL_NAME",
    "OUTPUT",
    "SAMPLING",
    "Device",
    "DeviceOrConfigs",
    "Images",
    "Json",
    "JsonResult",
    "Model",
    "NoiseSamples",
    "Overwrite",
    "Quiet",
    "Recursive",
    "Seed",
    "Shard",
    "Verbose",
]

SAMPLING, MODEL, OUTPUT, MESSAGES = "Sampling", "Model", "Input and output", "Messages"

_DEVICE_HELP = "auto, cpu, cuda, cuda:N or mps; auto never takes mps. Also CAFLOW_DEVICE."
MODEL_NAME = "An id of `caflow models list`, a file, a folder, or a Hub repository."

Images = Annotated[
    list[str],
    typer.Argument(
        metavar="IMAGE",
        help="Pictures, folders, or globs in quotes; `-` for stdin; `example:NAME`, "
        "such as `example:face`.",
        autocompletion=completion.images,
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="ID|PATH|REPO[@REV]",
        help=f"Model: {MODEL_NAME[0].lower()}{MODEL_NAME[1:]} Default: the bundled one of the "
        "task.",
        autocompletion=completion.models,
        rich_help_panel=MODEL,
    ),
]
Device = Annotated[
    str,
    typer.Option(
        "--device",
        metavar="NAME",
        help=_DEVICE_HELP,
        envvar="CAFLOW_DEVICE",
        autocompletion=completion.devices,
        rich_help_panel=MODEL,
    ),
]
Shard = Annotated[
    str | None,
    typer.Option(
        "--shard",
        metavar="K/N",
        help="Take every N-th input, from the K-th on: N processes share the work. Default: RANK + "
        "1 of WORLD_SIZE, where a launcher sets these, else all inputs.",
        rich_help_panel=MODEL,
    ),
]
# For `train`, where a config may say.
DeviceOrConfigs = Annotated[
    str | None,
    typer.Option(
        "--device",
        metavar="NAME",
        help=_DEVICE_HELP,
        envvar="CAFLOW_DEVICE",
        autocompletion=completion.devices,
    ),
]
Seed = Annotated[
    int,
    typer.Option(
        "--seed",
        metavar="S",
        help="Candidate k draws from seed S + k: `--seed S+k -m 1` draws it again.",
        rich_help_panel=SAMPLING,
    ),
]
NoiseSamples = Annotated[
    int,
    typer.Option(
        "--noise-samples",
        metavar="K",
        help="Fixed noise draws that a score averages over; K > 1 gives its standard error.",
        rich_help_panel=SAMPLING,
    ),
]
Json = Annotated[
    bool,
    typer.Option(
        "--json",
        help="Write one JSON line for each picture to stdout as soon as it is done.",
        rich_help_panel=OUTPUT,
    ),
]
JsonResult = Annotated[
    bool,
    typer.Option("--json", help="Write JSON to stdout, one object a line.", rich_help_panel=OUTPUT),
]
Recursive = Annotated[
    bool,
    typer.Option(
        "--recursive", "-r", help="Also search the folders in folders.", rich_help_panel=OUTPUT
    ),
]
Overwrite = Annotated[
    bool,
    typer.Option("--overwrite", help="Replace outputs that exist.", rich_help_panel=OUTPUT),
]
Quiet = Annotated[
    bool,
    typer.Option("--quiet", "-q", help="Print only results and errors.", rich_help_panel=MESSAGES),
]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Say more on stderr.", rich_help_panel=MESSAGES)
]
