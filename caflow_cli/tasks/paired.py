"""Paired translation: the data set holds a condition for each target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..images import Pixels
from .base import LUMA, ONE, Example, Pair, WholeImage, gray, in_gray, resize
from .sizes import check_target, pad, scaled_size

if TYPE_CHECKING:
    import torch

    from ..config import Config, Extent, TaskConfig


@dataclass(frozen=True)
class Paired(WholeImage):
    """Makes an image from a condition, such as a photo from a sketch, at model scale.

    For a model trained on crops (`native`), this is the condition's own scale. Otherwise a
    condition of any size is resized by Pillow BICUBIC so that its shorter side is `size`, with its
    aspect kept. The result has the size of the condition at model scale.
    """

    cond_channels: int = 3  # or 1: the gray of the image
    size: int = 64  # the shorter side at model scale
    multiple: int = 16  # what the flow's image sides must be multiples of
    native: bool = False  # whether model scale is the condition's own
    keeps_gray: bool = False  # whether results are gray, the luminance of samples

    name = "paired"
    channels = (3, 1)
    tau = 0.8
    role = "pairs"
    options = ("native", "gray")
    verb = "translate"
    example = "map"
    baseline = "mismatched target"

    @classmethod
    def of(cls, config: Config) -> Paired:
        task = config.task
        flow = config.flow
        return cls(flow.cond_channels, task.size, flow.multiple, task.native, task.gray)

    @classmethod
    def describe(cls, config: TaskConfig) -> str:
        side = f"{config.size}×{config.size} pixels"
        other = "a gray one" if config.gray else "another"
        if config.native:
            text = f"Translates an image of any size into {other} of the same size. "
            return f"{text}Trained on crops of image pairs, {side}."
        return f"Translates one image into {other}. Trained on image pairs of {side}."

    def scaled_size(self, image: Pixels) -> Extent:
        if self.native:
            return image.shape[0], image.shape[1]
        return scaled_size(image, self.size)

    def condition(self, image: Pixels) -> Pixels:
        small = resize(image, *self.scaled_size(image))
        if self.cond_channels == 1:
            small = gray(small)[..., None]
        return pad(small, self.multiple)

    def compose(self, image: Pixels, sample: Pixels) -> Pixels:
        return self.keep_known(image, super().compose(image, sample))

    def keep_known(self, condition: Pixels, sample: Pixels) -> Pixels:
        return in_gray(sample) if self.keeps_gray else sample

    def keep_known_points(self, condition: torch.Tensor, sample: torch.Tensor) -> torch.Tensor:
        if not self.keeps_gray:
            return sample
        weights = sample.new_tensor(LUMA).div(ONE)[:, None, None]
        return (sample * weights).sum(1, keepdim=True).expand_as(sample)

    def reduce(self, image: Pixels, target: Pixels) -> Pair:
        check_target(image, target, self.scaled_size(image), "as the model writes it")
        return self.condition(image), pad(target, self.multiple)

    def baseline_image(self, example: Example) -> Pixels | None:
        """The true image of another pair, resized: it looks real, but is unrelated to the input."""
        if example.other is None:
            return None
        return resize(example.other, *example.truth.shape[:2])
