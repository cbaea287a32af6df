"""`caflow sample`."""

from __future__ import annotations

from typing import Annotated

import typer

from .. import options
from ..option_groups import expanded
from ..restoration_options import Restoration
from ..restore import restore_pictures

__all__ = ["sample_command"]


@expanded
def sample_command(
    cond: Annotated[
        list[str],
        typer.Option(
            "--cond",
            metavar="PATH",
            help="Picture to sample from: a sketch, for a model trained on sketches. May be "
            "repeated. `-` for stdin.",
            rich_help_panel=options.OUTPUT,
        ),
    ],
    given: Restoration,
    mask: options.Mask = None,
) -> None:
    """Sample from any model, such as one of pairs: what the picture means is the model's task.

    `sketch.png` becomes `sketch_sample.png`, with N > 1 `sketch_sample_01.png` and so on, best
    first.

    Example: caflow sample --cond sketch.png --model my-model.safetensors -m 10 -n 3
    """
    restore_pictures("sample", cond, given, mask)
