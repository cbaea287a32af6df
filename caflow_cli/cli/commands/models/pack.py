"""`caflow models pack`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ... import options
from ...console import Console
from ...option_groups import expanded
from ...reporter import Reporter

__all__ = ["pack_command"]


@expanded
def pack_command(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Folder of a run, or a model file.")],
    model_id: Annotated[str, typer.Option("--id", metavar="ID", help="Name of the model.")],
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="DIR", help="Folder to write into.")
    ] = ".",
    bundle: Annotated[
        bool, typer.Option("--bundle", help="Write into this installation's package instead.")
    ] = False,
    default: Annotated[
        bool, typer.Option("--default", help="Make it the default model of its task.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a model with that id.")
    ] = False,
    data: Annotated[
        str, typer.Option("--data-terms", metavar="TEXT", help="Training data and its terms.")
    ] = "",
    license_terms: Annotated[
        str, typer.Option("--license", metavar="TEXT", help="Terms of the weights.")
    ] = "see the training data's terms",
    json: options.JsonResult = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Pack a run's best averaged weights into one small file, with a manifest entry.

    Net convolutions are stored in bfloat16, everything else in float32. The entry has the sha256.

    Example: caflow models pack run --id my-faces
    """
    from dataclasses import asdict

    from ....assets import WEIGHTS_DIR
    from ....hub.pack import pack

    entry = pack(
        Path(run),
        model_id,
        output=Path(output),
        bundle=bundle,
        default=default,
        overwrite=overwrite,
        data_terms=data,
        license_terms=license_terms,
    )
    console = Console(quiet, verbose)
    file = (WEIGHTS_DIR if bundle else Path(output)) / f"{entry.id}.safetensors"
    Reporter("models pack", console, json).result(asdict(entry), [str(file)])
    console.note(f"{entry.bytes / 1e6:.2f} MB, sha256 {entry.sha256}")
