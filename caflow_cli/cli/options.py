"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = [
    "Device",
    "DeviceOrConfigs",
    "Json",
    "Model",
    "ModelOnly",
    "NoiseSamples",
    "Quiet",
    "Seed",
    "Verbose",
]

_DEVICE_HELP = "auto, cpu, cuda or cuda:N."
_MODEL_HELP = "Model: an id of `caflow models list`, a file, a folder, or a Hub repository."

Model = Annotated[
    str | None,
    typer.Option("--model", metavar="ID|PATH|REPO[@REV]", help=_MODEL_HELP, envvar="CAFLOW_MODEL"),
]
# For `score`, where the target's own word comes before the environment's.
ModelOnly = Annotated[
    str | None, typer.Option("--model", metavar="ID|PATH|REPO[@REV]", help=_MODEL_HELP)
]
Device = Annotated[
    str,
    typer.Option("--device", metavar="NAME", help=_DEVICE_HELP, envvar="CAFLOW_DEVICE"),
]
# For `train`, where a config may say.
DeviceOrConfigs = Annotated[
    str | None,
    typer.Option("--device", metavar="NAME", help=_DEVICE_HELP, envvar="CAFLOW_DEVICE"),
]
Seed = Annotated[
    int, typer.Option("--seed", metavar="S", help="Candidate k draws from seed S + k.")
]
NoiseSamples = Annotated[
    int,
    typer.Option(
        "--noise-samples",
        metavar="K",
        help="Fixed noise draws a score averages over; K > 1 gives its standard error.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON line a picture on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Results and errors only.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Say more on stderr.")]
