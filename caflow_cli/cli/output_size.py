"""Sizes of results that the model does not draw: ×2, ×3, or what fits into a box (`--scale`)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import EXIT_USAGE, CaflowError

if TYPE_CHECKING:
    from ..tasks import Picture

__all__ = ["FILTER", "OutputSize", "Resized"]

FILTER = "lanczos"  # Pillow's; for a reduction it reads every pixel


@dataclass(frozen=True)
class Resized:
    """The change of a drawn picture: sizes are (width, height)."""

    drawn: tuple[int, int]
    written: tuple[int, int]

    def __str__(self) -> str:
        drawn, written = ("x".join(map(str, size)) for size in (self.drawn, self.written))
        how = "reduced" if self.written < self.drawn else "enlarged, without more detail,"
        return f"drawn at {drawn}, {how} to {written}"

    def of(self, image: Picture) -> Picture:
        """The picture at the size that is written: uint8 (H, W, 3), by Pillow LANCZOS."""
        import numpy as np
        from PIL import Image

        return np.array(Image.fromarray(image).resize(self.written, Image.Resampling.LANCZOS))


@dataclass(frozen=True)
class OutputSize:
    """The size that `--scale` asks for: a factor or a box, one of both is set."""

    scale: float | None = None
    box: tuple[int, int] | None = None  # width, height

    @classmethod
    def parse(cls, typed: str | None) -> OutputSize | None:
        """Read `2`, `1.5` or `1920x1080`; None: as the model draws.

        Raises:
            CaflowError: (exit 2) it is no size.
        """
        if typed is None:
            return None
        if match := re.fullmatch(r"0*([1-9]\d{0,5})[xX×]0*([1-9]\d{0,5})", typed):
            return cls(box=(int(match[1]), int(match[2])))
        try:
            scale = float(typed)
        except ValueError:
            scale = 0
        if not 1 < scale <= 64:
            raise CaflowError(
                f"--scale is {typed!r}", "--scale 2, or --scale 1920x1080 to fit", EXIT_USAGE
            )
        return cls(scale=scale)

    def check(self, factor: int) -> None:
        """Refuse a scale that a model does not reach. CaflowError (exit 2)."""
        if self.scale is not None and self.scale > factor:
            raise CaflowError(
                f"--scale {self.scale:g} is more than the model's {factor}",
                f"--scale {factor}, and again on the result; or --scale WIDTHxHEIGHT",
                EXIT_USAGE,
            )

    def scale_of(self, given: tuple[int, int]) -> float:
        """How many times a picture of that height and width is enlarged.

        Raises:
            CaflowError: (exit 1) the picture is as large as the box already.
        """
        if self.box is None:
            assert self.scale is not None
            return self.scale
        height, width = given
        scale = min(self.box[0] / width, self.box[1] / height)
        if scale <= 1:
            raise CaflowError(
                f"the picture is {width}x{height}, and --scale {self.box[0]}x{self.box[1]} would "
                f"{'make it smaller' if scale < 1 else 'leave it at that'}: superres enlarges",
                f"a --scale in which {width}x{height} has room to grow, or leave --scale out",
            )
        return scale

    def resized(self, given: Picture, drawn: Picture) -> Resized | None:
        """The change that the draws of a picture need; None: they have that size.

        Raises:
            CaflowError: As for `scale_of`.
        """
        height, width = given.shape[:2]
        scale = self.scale_of((height, width))
        # A side that is to fill the box does, whatever rounding says.
        written = max(1, round(scale * width)), max(1, round(scale * height))
        found = Resized((drawn.shape[1], drawn.shape[0]), written)
        return None if found.drawn == found.written else found
