"""`caflow sample`."""

from __future__ import annotations

from typing import Annotated

import typer

from ...errors import EXIT_USAGE, CaflowError
from .. import options
from ..masking import Masking
from ..options import expanded
from ..restoration_options import Restoration
from ..restore import restore_pictures

__all__ = ["sample_command"]


@expanded
def sample_command(
    images: Annotated[
        list[str] | None,
        typer.Argument(metavar="[IMAGE]", help="Pictures to sample from, as --cond."),
    ] = None,
    cond: Annotated[
        list[str] | None,
        typer.Option(
            "--cond",
            metavar="PATH",
            help="Picture to sample from, such as a sketch for a model trained on sketches. May be "
            "repeated. `-` for stdin.",
            rich_help_panel=options.OUTPUT,
        ),
    ] = None,
    *,
    given: Restoration,
    masking: Masking,
) -> None:
    """Sample from a model of any task, such as one trained on pairs of pictures.

    `sketch.png` becomes `sketch_sample.png`, with N > 1 `sketch_sample_01.png` and so on, best
    first. Pictures of any size are taken. A model that learned from parts of pictures draws at
    the picture's own scale. For any other model the picture is brought to the model's scale: its
    shorter side has the size of the training pictures.

    Example: caflow sample --cond sketch.png --model maps-aerial -m 10 -n 3
    """
    inputs = [*(cond or []), *(images or [])]
    if not inputs:
        raise CaflowError("nothing to sample from", "caflow sample --cond sketch.png", EXIT_USAGE)
    if given.model is None:
        raise CaflowError("sample needs a model", "--model maps-aerial, or a file", EXIT_USAGE)
    restore_pictures("sample", inputs, given, masking)
