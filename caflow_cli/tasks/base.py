"""The interface of tasks, and padding, resizing and gray."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from ..config import HOLE, Extent
from ..data.split import Role
from ..errors import check_usage, ensure, usage_error
from ..images import (
    LUMA as LUMA,
    ONE as ONE,
    Input,
    Pixels,
    Raster,
    gray as gray,
    in_gray as in_gray,
    is_of_grays,
    levels_in as levels_in,
    resize as resize,
    strips as strips,
    white as white,
)
from ..images.profile import Array, converts_back
from ..images.values import Unit
from ..records import Table
from .sizes import padded_size

if TYPE_CHECKING:
    import torch

    from ..config import Config, TaskConfig
    from ..flows import ValueScale

# Pixels at the model's size that are drawn in one pass, at 0.9 kB per pixel for the bundled models.
# Of larger images only conditions, candidates and their noise are held (docs/inference.md).
ONE_PASS = 2**21
MOST = 256_000_000  # pixels that a model draws
MOST_RESIZED = 400_000_000  # the same, if only the resized image is held

Mask = npt.NDArray[np.bool_]  # (H, W), true = fill
Pair: TypeAlias = tuple[Pixels, Pixels]  # of one size, such as condition and target


@dataclass(frozen=True)
class Place:
    """One part of filling a hole, as reported in JSON."""

    window: tuple[int, int, int, int]  # left, top, width, height of the region that the model reads
    pixels: int  # number of pixels filled in this part
    shrunk: bool  # whether the model reads the window at reduced size


@dataclass(frozen=True, eq=False)
class Example:
    """An input of a task, uint8 (h, w, 3), with its true result, uint8 (H, W, 3)."""

    input: Pixels  # what a user would give
    truth: Pixels
    mask: Pixels | None = None  # uint8 (H, W), white where the image is to be filled
    other: Pixels | None = None  # the true result of another input, if there is one

    @property
    def hole(self) -> Mask | None:
        """The hole, if there is one: true where the image is to be filled."""
        return None if self.mask is None else self.mask >= HOLE


class Part(Protocol):
    """The region that one sample of the model covers: a whole image, or a window onto a hole.

    Parts are sampled one after the other, and each reads what the previous ones composed.
    """

    @property
    def place(self) -> Place | None:
        """Its place in the image; None if it is the whole image."""

    @property
    def values(self) -> tuple[int, int] | None:
        """The numbers of scored values that the condition determines, and of all others.

        None if there is no such distinction.
        """

    @property
    def wave(self) -> int:
        """0 if it reads nothing that another part fills, else one more than the last such part."""

    def condition(self, image: Pixels) -> Pixels:
        """Compute the condition of an image, padded: uint8 (h, w, cond_channels)."""

    def compose(self, image: Pixels, sample: Pixels) -> Pixels:
        """Put a sample of the model's size into the image, possibly in place."""

    def reduce(self, image: Pixels, target: Pixels) -> Pair:
        """Compute the pair (condition, target) to score, both of the model's size, from the user's
        image and a target in which this part and all previous ones are composed.

        Ranking and `score` both use this, so that `score` reproduces the score of a written file.

        Raises:
            CaflowError: (exit 1) the size of the target does not fit the image.
        """


class Task:
    """Turns a user's image into the model's condition, and the model's sample into an image.

    Images, conditions and samples are uint8 or uint16, all of one type; masks are uint8. Where a
    text says uint8, it means either.

    It also describes itself: everything that commands, page, evaluation and model cards must know
    about a task is an attribute or a method of its class.
    """

    name: str  # in a model's config and on the command line
    channels: tuple[int, ...]  # allowed condition channels, the default first
    target_channels = 3
    tau: float  # default if neither a flag nor the model's config states it
    candidates = 10  # M, likewise
    # Whether results are larger than inputs: then M is smaller for large images, new runs show all
    # eight orientations, and the edges of an input's alpha are softened.
    enlarges = False
    needs_mask = False
    is_ensemble = False  # whether all M candidates are the result, whatever the size
    unit: str | None = None  # of fields
    chooses_tau = False  # whether `--tau auto` chooses τ from the input
    one_pass = ONE_PASS  # pixels that are drawn in one pass; above, in tiles
    role: Role = "images"  # what it learns from: targets of which it derives conditions, or more
    of_one_kind = False  # whether errors on some inputs say what those on others are
    # Whether images above 64 megapixels can be drawn, by `part_of_condition` and `part_of_target`.
    has_regions = False
    options: ClassVar[tuple[str, ...]] = ()  # which of `CHECKED`, fields of TaskConfig, it has
    compact: ClassVar[Table] = {}  # fields of the flow that adapt the preset `compact`

    command = "sample"  # the command that restores images
    usage = "sample --cond input.png"  # an example of it, for a model card
    verb = "restore"  # what the task does to an image, on the page
    tag = "image-to-image"  # of its models on the Hub
    example = "cat_192"  # a bundled image to try it with
    paints = ""  # what a user of the page paints: "hole" or "colors"
    baseline = "input copy"  # name of the result that needs no model
    keeps_gray = False  # whether results of gray images are gray

    factor = 1  # how many times larger a result is than its input
    native = False  # whether conditions of pairs are read at their own scale

    @property
    def cond_channels(self) -> int:
        return self.channels[0]

    @classmethod
    def of(cls, config: Config) -> Task:
        raise NotImplementedError

    @classmethod
    def describe(cls, config: TaskConfig) -> str:
        """What a model does and what it was trained on, for its card."""
        return f"Restores images. Trained on images of {config.size}×{config.size} pixels."

    def check_mask(self, has_mask: bool) -> None:
        """Raise CaflowError (exit 2) if a mask is missing, or given but not supported."""
        check_usage(
            has_mask or not self.needs_mask,
            f"{self.name} needs a mask",
            "--mask FILE, white where to fill the image",
        )
        check_usage(
            self.needs_mask or not has_mask, f"{self.name} takes no mask", "leave --mask out"
        )

    def accepted(self, image: Input) -> Input:
        """The input as it is restored: in sRGB if its profile is of grays, and results have colors.
        CaflowError if it is a field, or if floats could not be converted back from sRGB."""
        raster = image.image
        if raster.unit is not None:
            unit = raster.unit.name or "no unit"
            raise usage_error(
                f"the input is a measured field in {unit}, and the model is one of images",
                f"--model of a model of fields in {unit}, or save it as an image of 16 bits",
            )
        if not self.keeps_gray and is_of_grays(raster.profile):
            return image.in_srgb()
        ensure(
            raster.bits < 32 or converts_back(raster.profile),
            "the image has floats with a profile to which results cannot be converted back",
            "convert it to sRGB or to a linear RGB profile first, or save it with 16 bits",
        )
        return image

    def scale_for(self, bits: int, unit: Unit | None = None) -> ValueScale:
        """The scale of values that are drawn, or of a target with the steps of a unit."""
        from ..flows import Levels  # imported here, so that the tasks' defaults need no torch

        return Levels(1.0 if bits == 8 else 1 / 256)

    def counts(self, image: Pixels, target: Pixels) -> Table:
        """What a score states of measured values."""
        return {}

    def model_size(self, image: Pixels) -> Extent:
        """Height and width of the condition of each part, without computing it."""
        raise NotImplementedError

    def parts(self, image: Pixels, mask: Pixels | None = None) -> Sequence[Part]:
        """The parts of an image, in the order in which they are sampled."""
        raise NotImplementedError

    def part_of_condition(self, image: Pixels, rows: slice, columns: slice) -> Pixels:
        """Compute only the given rows and columns of the condition: uint8 (h, w, C)."""
        raise NotImplementedError

    def part_of_target(
        self,
        image: Pixels,
        target: Pixels,
        rows: slice,
        columns: slice,
    ) -> Pixels:
        """Compute only the given rows and columns of the target that is scored: uint8 (h, w, 3)."""
        raise NotImplementedError

    def made_consistent(self, consistent: bool | None) -> Task:
        """The task that projects candidates to images that shrink to the input, or does not, if it
        has this option; None leaves it unchanged."""
        return self

    def check_known(self, image: Pixels, target: Pixels, mask: Pixels | None) -> None:
        """Raise CaflowError (exit 1) if the target changes pixels that the image determines."""

    def keep_known(self, condition: Pixels, sample: Pixels) -> Pixels:
        """Compose a sample with the condition alone, at model scale, if there is no image.

        uint8 (h, w, cond_channels) and (h, w, 3) to (h, w, 3), which is scored as it is.
        """
        return sample

    def keep_known_points(self, condition: torch.Tensor, sample: torch.Tensor) -> torch.Tensor:
        """`keep_known` for points in [0, 256), (B, C, H, W); differentiable in the sample."""
        return sample

    def training_target(self, target: Pixels, generator: torch.Generator) -> Pixels:
        """Augment a training target before its condition is computed. Default: no change."""
        return target

    def training_condition(self, target: Pixels, generator: torch.Generator) -> Pixels:
        """Compute a condition for a training target: uint8 (H, W, 3) to (H, W, cond_channels).

        `generator` draws its random parts. Only for tasks that derive conditions from targets.
        """
        raise NotImplementedError

    def training_points(self, target: Array, steps: Array, noise: Array) -> tuple[Array, Array]:
        """Compute the points of the model's density, and of its condition, for a crop of a field.

        Only for tasks that learn from fields.
        """
        raise NotImplementedError

    def with_masks(self, masks: Sequence[Any], share: float) -> Task:
        """The task with that share of its training holes cut from masks. Default: no change."""
        return self

    def evaluation_input(
        self,
        truth: Pixels,
        index: int,
        inputs: str = "clean",
        mask: Pixels | None = None,
    ) -> Example:
        """Derive what a user would give from a true image, which may be cropped.

        Args:
            truth: uint8 (H, W, 3).
            index: Seeds random parts.
            inputs: How inputs are degraded: "clean", "web" or "photo".
            mask: uint8 (H, W), white in the holes; None: the task's own hole, if it needs one.
        """
        raise NotImplementedError

    def baseline_image(self, example: Example) -> Pixels | None:
        """The result of `baseline`, as large as the truth. Default: the input."""
        return example.input

    def recomputed(self, image: Pixels, candidate: Pixels, hole: Mask | None) -> Pair | None:
        """What a candidate says about the input, and the input itself, to measure consistency.

        Two uint8 arrays of one shape; None if the input does not follow from a result.
        """
        return None

    def note(self, image: Raster, mask: Pixels | None) -> str | None:
        """A warning about what will be lost, or will not come out well; None if there is none."""
        return None


class WholeImage(Task, Part):
    """A task with one part per image, which is the task itself: the image at model scale, padded.

    Attributes:
        multiple: What the flow's image sides must be multiples of.
    """

    place = None
    values = None
    wave = 0
    multiple: int

    def scaled_size(self, image: Pixels) -> Extent:
        """Height and width of the image at model scale, without padding."""
        raise NotImplementedError

    def model_size(self, image: Pixels) -> Extent:
        return padded_size(*self.scaled_size(image), self.multiple)

    def parts(self, image: Pixels, mask: Pixels | None = None) -> Sequence[Part]:
        return (self,)

    def compose(self, image: Pixels, sample: Pixels) -> Pixels:
        """The sample without its padding."""
        height, width = self.scaled_size(image)
        return sample[:height, :width]


def as_read(task: Task, image: Pixels) -> Pixels:
    """The image in the colors of its condition: uint8 (H, W, 3), gray if that has one channel."""
    return in_gray(image) if task.cond_channels == 1 else image
