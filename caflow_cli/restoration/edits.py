"""Edits: what changes the pixels of a candidate after it was drawn, scored and ranked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

from PIL import Image

from ..images import Pixels
from ..tasks import resize, saturate
from .grain import Grain
from .recolor import Recolor


class Edit(Protocol):
    """A change of the image that is written; its score remains that of the sample."""

    field: ClassVar[str]  # its field in JSON and provenance, by which `score` refuses the image
    option: ClassVar[str]  # the option that asks for it

    def apply(self, image: Pixels) -> Pixels:
        """The changed image, uint8 (H, W, 3); the given one is left as it is."""

    def as_json(self) -> object:
        """The value of its field."""


@dataclass(frozen=True)
class Resize:
    """Resize the image by Lanczos; sizes are width and height."""

    drawn: tuple[int, int]
    written: tuple[int, int]

    field: ClassVar = "resized"
    option: ClassVar = "--scale"

    def apply(self, image: Pixels) -> Pixels:
        width, height = self.written  # Pillow antialiases when shrinking
        return resize(image, height, width, Image.Resampling.LANCZOS)

    def as_json(self) -> dict[str, object]:
        return {"drawn": self.drawn, "written": self.written, "filter": "lanczos"}


@dataclass(frozen=True)
class Saturate:
    """Multiply the chroma of the image, and keep its luminance."""

    saturation: float

    field: ClassVar = "saturation"
    option: ClassVar = "--saturation"

    def apply(self, image: Pixels) -> Pixels:
        return saturate(image, self.saturation)

    def as_json(self) -> float:
        return self.saturation


EDITS: tuple[type[Edit], ...] = (Recolor, Saturate, Resize, Grain)
