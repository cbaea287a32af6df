"""`caflow superres`."""

from __future__ import annotations

from typing import Annotated

import typer

from .. import options
from ..options import expanded
from ..output_size import OutputSize
from ..restoration_options import Restoration
from ..restore import restore_pictures

__all__ = ["superres_command"]


@expanded
def superres_command(
    images: options.Images,
    given: Restoration,
    consistent: Annotated[
        bool,
        typer.Option(
            "--consistent",
            help="Project each candidate, before it is scored, to a picture near it that shrinks "
            "to the input, within one level. JSON has the largest difference, consistency_max.",
            rich_help_panel=options.SAMPLING,
        ),
    ] = False,
    scale: Annotated[
        str | None,
        typer.Option(
            "--scale",
            metavar="X|WxH",
            help="Enlarge X times, such as 2 or 3, or to the largest picture that fits into W x H "
            "pixels: drawn at the model's scale, then resized (Lanczos). The score is that of the "
            "draw, so JSON says score_exact false. Beyond the model's scale there is no more "
            "detail.",
            rich_help_panel=options.OUTPUT,
        ),
    ] = None,
) -> None:
    """Enlarge pictures: draw M candidates, rank them by log-likelihood, write the best N.

    `face.png` becomes `face_superres.png`, with N > 1 `face_superres_01.png` and so on, best first.
    Pictures of any size are taken: with a ×4 model, 300×200 becomes 1200×800, or 600×400 with
    --scale 2. A high likelihood
    does not mean high quality: at a temperature below 1 it favours smooth pictures.

    Example: caflow superres face.png --tau 0.5 -m 10 -n 1
    """
    size = OutputSize.parse(scale)
    restore_pictures("superres", images, given, consistent=consistent, size=size)
