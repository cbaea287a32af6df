"""`caflow superres`."""

from __future__ import annotations

from typing import Annotated

import typer

from .. import options
from ..option_groups import expanded
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
            "to the input, within one level. JSON has consistency_max, the levels reached.",
            rich_help_panel=options.SAMPLING,
        ),
    ] = False,
) -> None:
    """Enlarge pictures: draw M candidates, rank them by log-likelihood, write the best N.

    `face.png` becomes `face_superres.png`, with N > 1 `face_superres_01.png` and so on, best first.
    Any size is taken: with a ×4 model, 300×200 becomes 1200×800. A high likelihood is not quality:
    at T < 1 it favours smooth pictures.

    Example: caflow superres face.png --tau 0.5 -m 10 -n 1
    """
    restore_pictures("superres", images, given, consistent=consistent)
