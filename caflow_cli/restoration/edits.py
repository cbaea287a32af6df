"""Edits: what changes the pixels of a candidate after it was drawn, scored and ranked.

Command, page and Python say what they want in `EditOptions`, and `edits_of` makes the edits of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Protocol, TypedDict

from PIL import Image

from ..config import HOLE
from ..errors import check_usage
from ..images import Pixels
from ..records import Count, NonNegative
from ..sampling import strength_of
from ..tasks import Task, resize, saturate
from ..tasks.arguments import ImageLike, as_input
from .grain import Grain
from .recolor import Recolor, strokes_of


class EditKeywords(TypedDict, total=False):
    """The keywords of `restore` that ask for edits."""

    hints: ImageLike | None
    grain: Literal["auto", "off"] | float  # a number: its standard deviation, in levels of 0-255


class EditOptions(EditKeywords, total=False):
    """All that may be asked of edits."""

    saturation: float
    size: tuple[int, int]  # width and height of the written image


class Edit(Protocol):
    """A change of the image that is written; its score remains that of the sample."""

    field: ClassVar[str]  # its field in JSON and provenance, by which `score` refuses the image
    option: ClassVar[str]  # the option that asks for it
    line: ClassVar[Any]  # the type of its field in JSON lines, and what it says

    @property
    def changes(self) -> bool:
        """Whether it changes anything."""

    def apply(self, image: Pixels, seed: int) -> Pixels:
        """The changed image, (H, W, 3) of the same depth; the argument is left as it is. `seed` is
        the candidate's."""

    def as_json(self) -> object:
        """The value of its field."""


_Extent = Annotated[list[Count], "Width and height.", (("minItems", 2), ("maxItems", 2))]


class _Resized(TypedDict):
    drawn: _Extent
    written: _Extent
    filter: Literal["lanczos"]


@dataclass(frozen=True)
class Resize:
    """Resize the image by Lanczos; sizes are width and height."""

    drawn: tuple[int, int]
    written: tuple[int, int]

    field: ClassVar[str] = "resized"
    option: ClassVar[str] = "--scale"
    line: ClassVar[Any] = Annotated[
        _Resized,
        "superres --scale: how each image was resized after it was drawn and scored. Omitted if it "
        "was not.",
    ]

    @property
    def changes(self) -> bool:
        return self.written != self.drawn

    def apply(self, image: Pixels, seed: int) -> Pixels:
        width, height = self.written
        if image.shape[:2] == (height, width):
            return image  # a large image is resized as its rows are drawn
        # Pillow antialiases when shrinking.
        return resize(image, height, width, Image.Resampling.LANCZOS)

    def as_json(self) -> dict[str, object]:
        return {"drawn": self.drawn, "written": self.written, "filter": "lanczos"}


@dataclass(frozen=True)
class Saturate:
    """Multiply the chroma of the image, and keep its luminance."""

    saturation: float

    field: ClassVar[str] = "saturation"
    option: ClassVar[str] = "--saturation"
    line: ClassVar[Any] = Annotated[
        NonNegative,
        "colorize --saturation: the factor by which the chroma of each image was multiplied after "
        "it was drawn and scored. Omitted if 1.",
    ]

    @property
    def changes(self) -> bool:
        return self.saturation != 1

    def apply(self, image: Pixels, seed: int) -> Pixels:
        return saturate(image, self.saturation)

    def as_json(self) -> float:
        return self.saturation


EDITS: tuple[type[Edit], ...] = (Recolor, Saturate, Resize, Grain)


def edits_of(
    task: Task,
    image: Pixels,
    profile: bytes | None,
    mask: Pixels | None,
    options: EditOptions,
) -> list[Edit]:
    """The edits of an image's candidates that change anything, in the order of application.

    Args:
        task: The task of the model.
        image: The input, as the task reads it.
        profile: Its color profile; None: sRGB.
        mask: uint8 (H, W), white where the image is filled.
        options: What is asked. Without `grain`, it is "auto".

    Raises:
        CaflowError: An option does not fit the task or the image.
    """
    edits: list[Edit] = []
    hints = options.get("hints")
    if hints is not None:
        check_usage(task.paints == "colors", f"{task.name} takes no color hints", "leave hints out")
        edits.append(Recolor(image, strokes_of(as_input(hints, alpha=True).image), profile))
    if "saturation" in options:
        edits.append(Saturate(options["saturation"]))
    if "size" in options:
        height, width = image.shape[:2]
        drawn = (task.factor * width, task.factor * height)
        edits.append(Resize(drawn, options["size"]))
    grain = options.get("grain", "auto")
    asked = "grain" in options and not task.needs_mask
    check_usage(not asked, f"{task.name} takes no grain", "leave it out")
    if mask is not None and grain != "off":
        edits.append(Grain(image, mask >= HOLE, None if grain == "auto" else strength_of(grain)))
    return [edit for edit in edits if edit.changes]
