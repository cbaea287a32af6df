"""Super-resolution: the condition is the small image, enlarged by Pillow BICUBIC."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ..errors import ensure
from ..images import LARGE, Pixels, Raster, is_gray
from ..records import Table
from .base import Example, Mask, Pair, WholeImage, in_gray, resize, white
from .degradation import shrink_as_photo, shrink_as_web
from .sizes import check_target, extend

if TYPE_CHECKING:
    import torch

    from ..config import Config, Extent, TaskConfig


_REACH = 3  # pixels of the small image, more than BICUBIC's support on either side
_PROJECTIONS = 100  # samples of 100 faces need 5 to 11 on average, depending on tau, and at most 63
# By the largest value: the distance that ends projections. One level is the best that images of 8
# bits can guarantee.
_NEAR = {255: 1, 65535: 16}


@dataclass(frozen=True)
class SuperRes(WholeImage):
    """Makes images that are `factor` times larger.

    As in training, images are shrunk and enlarged by Pillow BICUBIC, and rounded each time.
    `F.interpolate` has another kernel, which would give the model unfamiliar conditions. An image
    of any size is processed as a whole, padded.
    """

    factor: int = 4
    multiple: int = 16  # what the flow's image sides must be multiples of
    inputs: str = "clean"  # training inputs: shrunk by BICUBIC, or "photo": by `shrink_as_photo`
    consistent: bool = False  # whether `compose` also applies `back_project`, up to 64 megapixels

    name = "superres"
    channels = (3,)
    tau = 0.5
    enlarges = True
    of_one_kind = True
    options: ClassVar[tuple[str, ...]] = ("degrade", "consistent", "values")
    has_regions = True
    compact: ClassVar[Table] = {
        "anchor": "enlarged",
        "guide": 64,
        "guide_net": "compact",
        "guide_blocks": 16,
    }
    command = "superres"
    usage = "superres small.png"
    verb = "enlarge"
    tag = "super-resolution"
    example = "cat"
    baseline = "bicubic"
    keeps_gray = True

    @classmethod
    def of(cls, config: Config) -> SuperRes:
        task = config.task
        return cls(task.factor, config.flow.multiple, task.degrade, task.consistent)

    @classmethod
    def describe(cls, config: TaskConfig) -> str:
        small = config.size // config.factor
        text = f"Enlarges images {config.factor} times. "
        text += f"Trained on {small}×{small} to {config.size}×{config.size} pixels."
        if config.degrade == "photo":
            text += " Its training inputs were blurred, noisy, compressed and downsampled with "
            text += "several kernels, as well as clean."
        return text

    def degrade(self, target: Pixels) -> Pixels:
        """Shrink an image to an input: uint8 (H, W, 3) to (H / factor, W / factor, 3)."""
        s = self.factor
        height, width = target.shape[:2]
        ensure(
            height % s == width % s == 0,
            f"an image of {width}x{height} cannot be shrunk {s} times to whole pixels",
            f"crop its sides to multiples of {s}",
        )
        return resize(target, height // s, width // s)

    def scaled_size(self, image: Pixels) -> Extent:
        height, width = image.shape[:2]
        return self.factor * height, self.factor * width

    def condition(self, image: Pixels) -> Pixels:
        return extend(self._enlarge(image), self.model_size(image))

    def compose(self, image: Pixels, sample: Pixels) -> Pixels:
        """The sample without its padding, gray if the image is: uint8 (factor h, factor w, 3)."""
        result = super().compose(image, sample)
        if is_gray(image):
            result = in_gray(result)
        if self._projects(image):
            return self.back_project(image, result)
        return result

    def reduce(self, image: Pixels, target: Pixels) -> Pair:
        height, width = self.model_size(image)
        scored = self.part_of_target(image, target, slice(0, height), slice(0, width))
        return self.condition(image), scored

    def _projects(self, image: Pixels) -> bool:
        return self.consistent and math.prod(self.model_size(image)) <= LARGE

    def note(self, image: Raster, mask: Pixels | None) -> str | None:
        if self.consistent and not self._projects(image.values):
            return "above 64 megapixels, candidates are not made consistent with the input"
        return None

    def part_of_condition(self, image: Pixels, rows: slice, columns: slice) -> Pixels:
        s = self.factor
        # Include the kernel's support; Pillow's own `box` may round differently (13.0).
        top = max(0, rows.start // s - _REACH)
        left = max(0, columns.start // s - _REACH)
        bottom = -(-rows.stop // s) + _REACH
        right = -(-columns.stop // s) + _REACH
        part = self._enlarge(image[top:bottom, left:right])
        part = part[rows.start - s * top : rows.stop - s * top]
        part = part[:, columns.start - s * left : columns.stop - s * left]
        return extend(part, (rows.stop - rows.start, columns.stop - columns.start))

    def part_of_target(
        self,
        image: Pixels,
        target: Pixels,
        rows: slice,
        columns: slice,
    ) -> Pixels:
        check_target(image, target, self.scaled_size(image), f"{self.factor} times the condition")
        size = (rows.stop - rows.start, columns.stop - columns.start)
        return extend(target[rows, columns], size)

    def training_condition(self, target: Pixels, generator: torch.Generator) -> Pixels:
        """Shrink the target, and enlarge it again."""
        if self.inputs == "clean":
            return self._enlarge(self.degrade(target))
        import torch  # imported here, so that the tasks' defaults need no torch

        seed = int(torch.randint(2**62, (), generator=generator))
        small = shrink_as_photo(target, self.factor, np.random.default_rng(seed))
        return self._enlarge(small)

    def evaluation_input(
        self,
        truth: Pixels,
        index: int,
        inputs: str = "clean",
        mask: Pixels | None = None,
    ) -> Example:
        """Crop sides to multiples of the factor, and shrink by Pillow BICUBIC, `shrink_as_web` or
        `shrink_as_photo`. No side may be less than the factor."""
        s = self.factor
        height = truth.shape[0] // s
        width = truth.shape[1] // s
        truth = np.ascontiguousarray(truth[: s * height, : s * width])
        if inputs == "web":
            small = shrink_as_web(truth, height, width, index)
        elif inputs == "photo":
            small = shrink_as_photo(truth, s, np.random.default_rng(index))
        else:
            small = resize(truth, height, width)
        return Example(small, truth)

    def baseline_image(self, example: Example) -> Pixels:
        return resize(example.input, *example.truth.shape[:2])

    def recomputed(
        self,
        image: Pixels,
        candidate: Pixels,
        hole: Mask | None,
    ) -> Pair:
        return self.degrade(candidate), image

    def made_consistent(self, consistent: bool | None) -> SuperRes:
        return self if consistent is None else replace(self, consistent=consistent)

    def back_project(self, image: Pixels, sample: Pixels) -> Pixels:
        """Find an image near `sample` that, shrunk, is near `image` everywhere: within one level
        of 8 bits, or 16 of 16.

            x <- clip(x + up(image - down(round(x))), 0, 255)

        `up` and `down` are Pillow BICUBIC. Because values are clipped, there may be no such image
        nearby; then the best of 100 iterations is returned.
        """
        x = sample.astype(np.float32)
        most = white(image)
        best = sample
        least = most + 1
        for _ in range(_PROJECTIONS):
            rounded = np.rint(x).astype(image.dtype)
            residual = image.astype(np.float32) - self.degrade(rounded)
            worst = int(np.abs(residual).max())
            if worst < least:
                best = rounded
                least = worst
            if worst <= _NEAR[most]:
                break
            x = (x + resize(residual, *x.shape[:2])).clip(0, most)
        return best

    def _enlarge(self, image: Pixels) -> Pixels:
        return resize(image, *self.scaled_size(image))
