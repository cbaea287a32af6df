"""Colorization: the condition is the gray image; its luminance is kept at full resolution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from PIL import Image, ImageFilter

from ..config import Extent
from ..images import Pixels, Raster
from ..records import Table
from .base import LUMA, ONE, Example, Mask, Pair, WholeImage, gray, in_gray, resize, strips, white
from .chroma import chroma_of, tint, upsample_chroma
from .sizes import check_target, pad, scaled_size

if TYPE_CHECKING:
    import torch

    from ..config import Config, TaskConfig

_COLOR = 24  # difference of channels, in levels, above which a pixel is colored, not toned
_COLORED = 0.02  # share of colored pixels that makes an image colored
_LEAST = 1e-3  # lower bound of chroma in divisions, in levels


@dataclass(frozen=True)
class Colorize(WholeImage):
    """Adds colors to a gray image of any size.

    Colors are sampled at model scale: the image is resized by Pillow BICUBIC so that its shorter
    side is `size`, with its aspect kept, and then padded. Only the chroma of the sample is used: it
    is upsampled, added to the luminance of the image, and reduced until it is in gamut.
    """

    size: int = 64  # the shorter side at model scale
    multiple: int = 16  # what the flow's image sides must be multiples of
    inputs: str = "clean"  # training targets: unchanged, or "photo": changed by `as_print`

    name = "colorize"
    channels = (1,)
    tau = 0.85
    of_one_kind = True
    options = ("degrade",)
    compact: ClassVar[Table] = {
        "anchor": "luminance",
        "guide": (64, 96, 128, 128),
        "guide_net": "unet",
        "hidden": (32, 64, 128),
    }
    command = "colorize"
    usage = "colorize gray.png"
    verb = "color"
    paints = "colors"
    tag = "image-colorization"
    baseline = "gray copy"

    @classmethod
    def of(cls, config: Config) -> Colorize:
        return cls(config.task.size, config.flow.multiple, config.task.degrade)

    @classmethod
    def describe(cls, config: TaskConfig) -> str:
        return (
            f"Colorizes gray images. Color is generated at {config.size}×{config.size} pixels, "
            "and combined with the luminance at full resolution."
        )

    def scaled_size(self, image: Pixels) -> Extent:
        return scaled_size(image, self.size)

    def condition(self, image: Pixels) -> Pixels:
        small = resize(gray(image), *self.scaled_size(image))
        return pad(small, self.multiple)[..., None]

    def compose(self, image: Pixels, sample: Pixels) -> Pixels:
        """Add the sample's chroma to the image, which leaves its `convert("L")` unchanged.

        Each pixel is `L + k (sample - Y)`, with the luma Y of the sample, the gray L of the image,
        and k <= 1 as large as the range of values allows.
        """
        height, width = self.scaled_size(image)
        level = gray(image)
        small = resize(level, height, width)
        chroma = upsample_chroma(chroma_of(sample[:height, :width]), small, level)
        result = np.empty((*level.shape, 3), level.dtype)
        for part in strips(*level.shape):
            result[part] = tint(level[part], chroma[:, part])
        return result

    def reduce(self, image: Pixels, target: Pixels) -> Pair:
        """The gray of the target at model scale, and the target at model scale, both padded.

        The gray is corrected by the difference between the grays of image and target at model
        scale, so that the target is scored under the image's luminance.
        """
        check_target(image, target, image.shape[:2])
        height, width = self.scaled_size(image)
        small = resize(target, height, width)
        of_image = resize(gray(image), height, width).astype(np.int32)
        of_target = resize(gray(target), height, width).astype(np.int32)
        level = np.clip(gray(small) + of_image - of_target, 0, white(image)).astype(image.dtype)
        return pad(level[..., None], self.multiple), pad(small, self.multiple)

    def keep_known(self, condition: Pixels, sample: Pixels) -> Pixels:
        return tint(condition[..., 0], chroma_of(sample))

    def keep_known_points(self, condition: torch.Tensor, sample: torch.Tensor) -> torch.Tensor:
        """`L + k (sample - Y)` as in `compose`, with k such that values stay in [0.5, 255.5]."""
        weights = sample.new_tensor(LUMA).div(ONE)[:, None, None]
        luma = (sample * weights).sum(1, keepdim=True)
        chroma = sample - luma
        above = (255.5 - condition) / chroma.clamp_min(_LEAST)
        below = (condition - 0.5) / (-chroma).clamp_min(_LEAST)
        keep = above.minimum(below).amin(1, keepdim=True).clamp(max=1)
        return condition + chroma * keep

    def training_target(self, target: Pixels, generator: torch.Generator) -> Pixels:
        return as_print(target, generator) if self.inputs == "photo" else target

    def training_condition(self, target: Pixels, generator: torch.Generator) -> Pixels:
        return gray(target)[..., None]

    def evaluation_input(
        self,
        truth: Pixels,
        index: int,
        inputs: str = "clean",
        mask: Pixels | None = None,
    ) -> Example:
        return Example(in_gray(truth), truth)

    def recomputed(
        self,
        image: Pixels,
        candidate: Pixels,
        hole: Mask | None,
    ) -> Pair:
        return gray(candidate), gray(image)

    def note(self, image: Raster, mask: Pixels | None) -> str | None:
        colored = float((np.ptp(image.shown, axis=-1) > _COLOR).mean())
        if colored <= _COLORED:
            return None
        return "the image is already in color; its colors will be replaced"


def as_print(image: Pixels, generator: torch.Generator) -> Pixels:
    """Give an image the luminance of an old print, and keep its chroma: uint8 (H, W, 3).

    A quarter of the images do not change. For the others, the luma L in [0, 1] is changed in this
    order, each for a share of them, with parameters drawn uniformly:

        blur       1/3  Gaussian, σ 0.3 to 1 pixel
        gamma      all  L^γ, γ 0.6 to 1.6, uniform in log γ
        fading     2/3  b + (w - b) L, b 0 to 0.25 and w 0.7 to 1
        vignette   1/3  L (1 - v r²), v 0 to 0.5, r = 1 in the corners
        grain      1/3  Gaussian noise, σ 1 to 5 levels

    Colors that no longer fit are reduced until they are in gamut.
    """
    import torch  # imported here, so that the tasks' defaults need no torch

    u = torch.rand(11, generator=generator, dtype=torch.float64).tolist()
    if u[0] < 1 / 4:
        return image
    plane = Image.fromarray(gray(image))
    if u[1] < 1 / 3:
        plane = plane.filter(ImageFilter.GaussianBlur(0.3 + 0.7 * u[2]))
    gamma = 0.6 * (1.6 / 0.6) ** u[3]
    luma = (np.asarray(plane, np.float32) / 255) ** gamma
    if u[4] < 2 / 3:
        black = 0.25 * u[5]
        white = 1 - 0.3 * u[6]
        luma = black + (white - black) * luma
    if u[7] < 1 / 3:
        height, width = luma.shape
        y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
        x = np.linspace(-1, 1, width, dtype=np.float32)
        strength = 0.5 * u[8]
        luma = luma * (1 - strength * (y**2 + x**2) / 2)
    levels = 255 * luma
    if u[9] < 1 / 3:
        sigma = 1 + 4 * u[10]
        grain = torch.randn(luma.shape, generator=generator).numpy()
        levels = levels + sigma * grain
    faded = np.rint(levels).clip(0, 255)
    return tint(faded.astype(np.uint8), chroma_of(image))
