"""Options that change the pixels of ranked candidates, and what they ask of edits."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import check_usage, ensure, usage_error
from ..sampling import strength_of
from .options import OUTPUT, option

if TYPE_CHECKING:
    from ..images import Input, Pixels
    from ..images.crop import Place
    from ..restoration import EditOptions, Request
    from ..tasks import Task
    from .inputs import InputImage

Scale = float | tuple[int, int]  # a factor, or the width and height of a box to fit into
Spot = tuple[int, int, bytes]  # pixels from the left and top, and the color

_DISC = 64  # radius of the disc of a hint, as a share of the image's shorter side


@dataclass(frozen=True, kw_only=True)
class Editing:
    """The options of a command that has none; others have one of the groups below."""

    @property
    def used(self) -> list[str]:
        """The names of the options that are used, which another option may exclude."""
        return []

    @property
    def companions(self) -> dict[str, str]:
        """Files and folders that the options name, by kind: one file belongs to each input."""
        return {}

    def check(self, task: Task) -> None:
        """Raise CaflowError (exit 2) if a model of that task does not support an option."""

    def wanted(
        self, image: Pixels, companions: Mapping[str, InputImage], place: Place
    ) -> EditOptions | None:
        """What is wanted of the edits of an image with these companions, of which the part at
        `place` is restored; None: there are no edits.

        CaflowError (exit 1) if an option does not fit the image.
        """
        return None

    def note(self, request: Request, found: bool) -> str | None:
        """What is to be said of a request; `found` says if its mask was found, not drawn."""
        return None

    def check_size(self, request: Request) -> None:
        """Raise CaflowError (exit 1) if an option has to confirm the size of a result."""


def parsed_scale(typed: str) -> Scale:
    """Parse `2`, `1.5` or `1920x1080`; CaflowError (exit 2) if it is not a scale."""
    if match := re.fullmatch(r"0*([1-9]\d{0,5})[xX×]0*([1-9]\d{0,5})", typed):
        return int(match[1]), int(match[2])
    with suppress(ValueError):
        if 1 < float(typed) <= 64:
            return float(typed)
    raise usage_error(f"--scale is {typed!r}", "--scale 2, or --scale 1920x1080 to fit")


@dataclass(frozen=True, kw_only=True)
class Scaling(Editing):
    """The options of enlargement; each field is the option of the same name."""

    scale: Scale | None = option(
        "--scale X|WxH",
        "Enlarge X times, such as 2 or 3, or to fit within W x H pixels: sample at the model's "
        "scale, then resize (Lanczos). JSON has score_exact false. Required above 64 megapixels "
        "at that scale; the limit is 256, or 400 for one resized candidate.",
        of="images",
        parser=parsed_scale,
    )

    @property
    def used(self) -> list[str]:
        return [] if self.scale is None else ["--scale"]

    def check(self, task: Task) -> None:
        if isinstance(self.scale, float):
            check_usage(
                self.scale <= task.factor,
                f"--scale {self.scale:g} exceeds the model's scale of {task.factor}",
                f"--scale {task.factor}, or --scale WIDTHxHEIGHT",
            )

    def wanted(
        self, image: Pixels, companions: Mapping[str, InputImage], place: Place
    ) -> EditOptions | None:
        if self.scale is None:
            return None
        return {"size": _written(self.scale, *image[place].shape[:2])}

    def check_size(self, request: Request) -> None:
        if self.scale is not None or not request.is_large:
            return
        from ..tasks import check_size

        image = request.input.image
        height, width = (request.task.factor * side for side in image.size)
        hint = f"--scale {width}x{height} confirms its size; --crop X,Y,WxH restores a part"
        check_size(image.values, request.size, hint=hint)


def _written(scale: Scale, height: int, width: int) -> tuple[int, int]:
    """Width and height of the written image for an input of that size.

    CaflowError (exit 1) if the input already fills the box, or if the result would be too large.
    """
    if isinstance(scale, tuple):
        box = scale
        scale = min(box[0] / width, box[1] / height)
        ensure(
            scale > 1,
            f"the image, {width}x{height}, already fills {box[0]}x{box[1]}",
            "a larger --scale, or leave it out",
        )
    wide = round(scale * width)
    high = round(scale * height)
    from ..tasks.base import MOST

    ensure(
        wide * high <= MOST,
        f"--scale enlarges {width}x{height} to {wide}x{high}, which is too large to write",
        "a smaller --scale",
    )
    return wide, high


def _parsed_hint(typed: str) -> Spot:
    """Parse `120,80=#4a6b3c`; CaflowError (exit 2) if it is something else."""
    match = re.fullmatch(r"(\d{1,6}),(\d{1,6})=#([0-9a-fA-F]{6})", typed)
    if match is None:
        raise usage_error(f"--hint is {typed!r}", "--hint 120,80=#4a6b3c, and quote it")
    return int(match[1]), int(match[2]), bytes.fromhex(match[3])


@dataclass(frozen=True, kw_only=True)
class Coloring(Editing):
    """The options of colorization; each field is the option of the same name."""

    hints: str | None = option(
        "--hints FILE|DIR",
        "Colors that you know: an image with transparency, of the size of the photo, painted where "
        "you know them. Gray means no color. One file for all photos, or a folder of files named "
        "like the photos, such as old_hints.png. The colors spread over the objects that they "
        "touch. Scores are those of the original sample; JSON has score_exact false.",
    )
    hint: list[Spot] | None = option(
        "--hint X,Y=#rrggbb",
        "Color of a spot: pixels from the left and top. Repeatable.",
        parser=_parsed_hint,
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
        check_usage(
            self.saturation == 1 or not (self.hints or self.hint),
            "--hints and --hint cannot be used with --saturation",
            "omit --saturation",
        )

    @property
    def used(self) -> list[str]:
        names = {"--hints": self.hints, "--hint": self.hint, "--saturation": self.saturation != 1}
        return [name for name, value in names.items() if value]

    @property
    def companions(self) -> dict[str, str]:
        return {"hints": self.hints} if self.hints is not None else {}

    def wanted(
        self, image: Pixels, companions: Mapping[str, InputImage], place: Place
    ) -> EditOptions:
        if "hints" in companions or self.hint:
            return {"hints": self._strokes(companions.get("hints"), image, place)}
        return {"saturation": self.saturation}

    def _strokes(self, file: InputImage | None, photo: Pixels, place: Place) -> Input:
        """The color hints for a photo, opaque where the color is known.

        CaflowError (exit 1) if they cannot be read or do not fit.
        """
        import numpy as np

        from ..images import Input, Raster
        from ..restoration.recolor import check_strokes, strokes_of

        height, width = photo.shape[:2]
        strokes = np.zeros((height, width, 4), np.uint8)
        if file is not None:
            strokes = strokes_of(file.read().image)
            check_strokes(photo, strokes)
        radius = max(2, min(height, width) / _DISC)
        rows = np.arange(height)[:, None]
        columns = np.arange(width)
        for x, y, color in self.hint or ():
            ensure(
                x < width and y < height,
                f"--hint {x},{y}=#{color.hex()} is outside of the image, {width}x{height}",
                f"--hint X,Y=#rrggbb with X below {width} and Y below {height}",
            )
            disc = (columns - x) ** 2 + (rows - y) ** 2 <= radius**2
            strokes[disc] = [*color, 255]
        strokes = strokes[place]
        return Input(Raster(strokes[..., :3], alpha=strokes[..., 3]))


def _parsed_grain(typed: str) -> str | float:
    """Parse `auto`, `off` or a strength; CaflowError (exit 2) if it is something else."""
    return typed if typed in ("auto", "off") else strength_of(typed)


@dataclass(frozen=True, kw_only=True)
class Filling(Editing):
    """The options of inpainting; each field is the option of the same name."""

    grain: str | float = option(
        "--grain auto|off|S",
        "Add to the fill the film grain that it lacks, if the rest of the image has grain; or "
        "grain of S levels (standard deviation). Scores are those of the original sample; JSON has "
        "score_exact false where grain was added.",
        OUTPUT,
        default="auto",
        parser=_parsed_grain,
    )

    def wanted(
        self, image: Pixels, companions: Mapping[str, InputImage], place: Place
    ) -> EditOptions:
        return {"grain": self.grain}  # type: ignore[typeddict-item]

    def note(self, request: Request, found: bool) -> str | None:
        if self.grain != "auto" or not found or request.edits:
            return None
        return "no film grain was found, so the fill has none; --grain S adds some, of S levels"
