"""`superres --scale`: sizes that the model does not draw, such as ×2, or what fits into a box."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..errors import EXIT_USAGE, CaflowError

__all__ = ["OutputSize"]


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
        """Refuse a factor that a model does not reach. CaflowError (exit 2)."""
        if self.scale is not None and self.scale > factor:
            raise CaflowError(
                f"--scale {self.scale:g} is more than the model's {factor}",
                f"--scale {factor}, and again on the result; or --scale WIDTHxHEIGHT",
                EXIT_USAGE,
            )

    def of(self, height: int, width: int) -> tuple[int, int]:
        """Width and height of what is written for an input of that size.

        Raises:
            CaflowError: (exit 1) the input is as large as the box already.
        """
        scale = self.scale
        if self.box is not None:
            scale = min(self.box[0] / width, self.box[1] / height)
            if scale <= 1:
                raise CaflowError(
                    f"the image is {width}x{height}, and --scale {self.box[0]}x{self.box[1]} would "
                    f"{'make it smaller' if scale < 1 else 'leave it at that'}: superres enlarges",
                    f"a --scale in which {width}x{height} has room to grow, or leave --scale out",
                )
        assert scale is not None
        # A side that is to fill the box does, whatever rounding says.
        return max(1, round(scale * width)), max(1, round(scale * height))
