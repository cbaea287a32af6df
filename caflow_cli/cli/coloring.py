"""The options of colorization, and color hints: how they are read, and whose they are."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import check_usage, ensure, usage_error
from .options import OUTPUT, option

if TYPE_CHECKING:
    from ..images import Input
    from ..tasks import Pixels
    from .inputs import InputImage

_POINT = re.compile(r"(\d{1,6}),(\d{1,6})=#([0-9a-fA-F]{6})")
_DISC = 64  # radius of the disc of a hint, as a share of the image's shorter side


@dataclass(frozen=True, kw_only=True)
class Coloring:
    """The options of colorization; each field is the option of the same name."""

    hints: str | None = option(
        "--hints FILE|DIR",
        "Colors that you know: an image with transparency, of the size of the photo, painted where "
        "you know them. Gray means no color. One file for all photos, or a folder of files named "
        "like the photos, such as old_hints.png.",
    )
    hint: list[str] | None = option(
        "--hint X,Y=#rrggbb", "Color of a spot: pixels from the left and top. Repeatable."
    )
    saturation: float = option(
        "--saturation S",
        "Multiply the chroma of the output: 0 is gray, below 1 is paler. Scores are those of the "
        "original sample; JSON has score_exact false.",
        OUTPUT,
        default=1.0,
        min=0.0,
        max=10.0,
    )

    def __post_init__(self) -> None:
        for point in self.hint or ():
            _parse(point)
        check_usage(
            self.saturation == 1 or not self.hinted,
            "--hints and --hint cannot be used with --saturation",
            "omit --saturation",
        )

    @property
    def hinted(self) -> bool:
        return self.hints is not None or bool(self.hint)

    def read(self, file: InputImage | None, image: Input) -> Pixels | None:
        """Read the hints for an image: uint8 (H, W, 4), opaque where the color is known.

        None if there are none. CaflowError (exit 1) if they cannot be read or do not fit.
        """
        if not self.hinted:
            return None
        import numpy as np

        from ..restoration import strokes_of
        from ..tasks import check_strokes

        height, width = image.rgb.shape[:2]
        strokes = np.zeros((height, width, 4), np.uint8)
        if file is not None:
            strokes = strokes_of(file.read())
            check_strokes(image.rgb, strokes)
        radius = max(2, min(height, width) / _DISC)
        rows = np.arange(height)[:, None]
        columns = np.arange(width)
        for point in self.hint or ():
            x, y, color = _parse(point)
            ensure(
                x < width and y < height,
                f"--hint {point} is outside of the image, {width}x{height}",
                f"--hint X,Y=#rrggbb with X below {width} and Y below {height}",
            )
            disc = (columns - x) ** 2 + (rows - y) ** 2 <= radius**2
            strokes[disc] = [*color, 255]
        return strokes


def _parse(point: str) -> tuple[int, int, bytes]:
    """X, Y and color of a `--hint`; CaflowError (exit 2) if it is not one."""
    match = _POINT.fullmatch(point)
    if match is None:
        raise usage_error(f"--hint is {point!r}", "--hint 120,80=#4a6b3c, and quote it")
    return int(match[1]), int(match[2]), bytes.fromhex(match[3])
