"""The interface of tasks, and padding, resizing and grey."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from ..errors import check_usage, ensure
from ..images import Pixels as Pixels

if TYPE_CHECKING:
    import torch

    from ..config import Config


_STRIP = 2**20  # pixels at a time


@dataclass(frozen=True)
class Place:
    """A part of the filling of a hole, as JSON states it."""

    window: tuple[int, int, int, int]  # left, top, width, height: what the model reads
    pixels: int  # of the hole, which are filled here
    shrunk: bool  # whether the model reads it smaller than it is


class Part(Protocol):
    """The region that one sample of the model covers: a whole image, or a window onto a hole.

    Parts are sampled one after the other: the next one reads what the last one composed.
    """

    @property
    def place(self) -> Place | None:
        """Where in the image it is; None: it is all of the image."""

    def condition(self, image: Pixels) -> Pixels:
        """Compute the condition of an image, padded: uint8 (h, w, cond_channels)."""

    def compose(self, image: Pixels, sample: Pixels) -> Pixels:
        """Put a sample of the model's size into the image, which may itself be changed."""

    def reduce(self, image: Pixels, target: Pixels) -> tuple[Pixels, Pixels]:
        """Compute the pair (condition, target) that is scored, both of the model's size, from the
        user's image and a target in which this part and all before it are done.

        Ranking and `score` both use this, so the score of a written file is the one that ranked it.

        Raises:
            CaflowError: (exit 1) the size of the target does not fit the image.
        """


class Task:
    """Turns a user's image into the model's condition, and the model's sample into an image."""

    name: ClassVar[str]  # in a model's config and on the command line
    channels: ClassVar[tuple[int, ...]]  # that the condition may have; the first is the default
    tau: ClassVar[float]  # if neither a flag nor the model's config states it
    candidates: ClassVar[int] = 10  # likewise
    needs_mask: ClassVar[bool] = False
    derives_condition: ClassVar[bool] = True  # from the target; else the data set holds it

    @property
    def cond_channels(self) -> int:
        return self.channels[0]

    @classmethod
    def of(cls, config: Config) -> Task:
        raise NotImplementedError

    def check_mask(self, given: bool) -> None:
        """CaflowError (exit 2) for a missing mask, or for one that the task does not take."""
        hint = "--mask FILE, white where the image is to be filled"
        check_usage(given or not self.needs_mask, f"{self.name} needs a mask", hint)
        check_usage(self.needs_mask or not given, f"{self.name} takes no mask", "leave --mask out")

    def model_size(self, image: Pixels, mask: Pixels | None = None) -> tuple[int, int]:
        """Height and width of the condition of each part, without computing it."""
        raise NotImplementedError

    def parts(self, image: Pixels, mask: Pixels | None = None) -> Sequence[Part]:
        """The parts that are sampled for an image, one after the other."""
        raise NotImplementedError

    def keep_known(self, condition: Pixels, sample: Pixels) -> Pixels:
        """Compose a sample at model scale, if only the condition is known and not the image.

        uint8 (h, w, cond_channels) and (h, w, 3) to (h, w, 3), which is scored as it is.
        """
        return sample

    def keep_known_points(self, condition: torch.Tensor, sample: torch.Tensor) -> torch.Tensor:
        """The same of points in [0, 256), (B, C, H, W), with gradients of the sample."""
        return sample

    def training_target(self, target: Pixels, generator: torch.Generator) -> Pixels:
        """Change a training target at random, before its condition is computed, or keep it."""
        return target

    def training_condition(
        self, target: Pixels, generator: torch.Generator | None = None
    ) -> Pixels:
        """Compute a condition for a training target: uint8 (H, W, 3) to (H, W, cond_channels).

        `generator` draws its random parts. CaflowError where the data set has to hold it.
        """
        raise NotImplementedError

    def held_out_condition(self, target: Pixels, index: int) -> Pixels:
        """Compute the condition of validation image `index`, the same at each call."""
        return self.training_condition(target)

    def note(self, image: Pixels, mask: Pixels | None) -> str | None:
        """A note on what is dropped from an image or will not come out well; None: no note."""
        return None


class WholeImage(Task, Part):
    """A task that is the one part of each image."""

    place = None

    def parts(self, image: Pixels, mask: Pixels | None = None) -> Sequence[Part]:
        return (self,)


def check_mask_size(mask: Sequence[int], image: Sequence[int]) -> None:
    """Refuse a mask that has not the image's height and width: CaflowError (exit 1)."""
    (h, w), (height, width) = mask[:2], image[:2]
    ensure(
        (h, w) == (height, width),
        f"the mask is {w}x{h}, the image {width}x{height}",
        f"give a mask of {width}x{height}, white where the image is to be filled",
    )


def pad(image: npt.NDArray[Any], multiple: int) -> npt.NDArray[Any]:
    """Pad (H, W, ...) by reflection at the right and bottom until both sides are multiples.

    A side of one pixel has nothing to reflect, so the pixel is repeated.
    """
    return extend(image, padded_size(image.shape[0], image.shape[1], multiple))


def extend(image: npt.NDArray[Any], size: tuple[int, int]) -> npt.NDArray[Any]:
    """Extend (H, W, ...) by reflection at the right and bottom to a height and width."""
    for axis in (0, 1):
        if missing := size[axis] - image.shape[axis]:
            widths = [(0, missing if axis == a else 0) for a in range(image.ndim)]
            image = np.pad(image, widths, "reflect" if image.shape[axis] > 1 else "edge")
    return image


def padded_size(height: int, width: int, multiple: int) -> tuple[int, int]:
    """The height and width of the result of `pad`."""
    return height + -height % multiple, width + -width % multiple


def resize(image: npt.NDArray[Any], height: int, width: int) -> npt.NDArray[Any]:
    """Resize by Pillow BICUBIC: uint8 (H, W, 3) or (H, W), or float32 (H, W), to the same type."""
    # `asarray` would be read-only, which torch warns of
    return np.array(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC))


def strips(height: int, width: int) -> list[slice]:
    """Rows of an image, some million pixels at a time, for what takes memory."""
    rows = max(1, _STRIP // width)
    return [slice(top, top + rows) for top in range(0, height, rows)]


def scaled_size(image: Pixels, size: int) -> tuple[int, int]:
    """Height and width of an image whose shorter side is brought to `size`, its aspect kept."""
    height, width = image.shape[:2]
    short = min(height, width)
    return (2 * height * size + short) // (2 * short), (2 * width * size + short) // (2 * short)


def grey(image: Pixels) -> Pixels:
    """Convert to grey by Pillow's `convert("L")`, Rec. 601 luma: uint8 (H, W, 3) to (H, W)."""
    return np.array(Image.fromarray(image).convert("L"))


def as_read(task: Task, image: Pixels) -> Pixels:
    """The image in the colours that its condition has: uint8 (H, W, 3), grey if it has one."""
    return grey(image)[..., None].repeat(3, 2) if task.cond_channels == 1 else image


def check_target(image: Pixels, target: Pixels, wanted: tuple[int, ...], because: str) -> None:
    """Refuse a target of another height and width than `wanted`: CaflowError (exit 1)."""
    (height, width), (h, w) = image.shape[:2], target.shape[:2]
    ensure(
        (h, w) == wanted,
        f"the target is {w}x{h}, the condition {width}x{height}",
        f"give a target of {wanted[1]}x{wanted[0]}, {because}",
    )
