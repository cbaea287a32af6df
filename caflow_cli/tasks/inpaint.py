"""Inpainting: the condition is a window onto a hole, with the known pixels around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..config import FILL, HOLE, Config, Extent, TaskConfig
from ..errors import ensure
from ..images import Pixels, Raster
from ..records import Table
from .base import Example, Mask, Pair, Place, Task, in_gray, resize, white
from .holes import HoleSource, central_hole, draw_from_masks, draw_hole
from .sizes import check_same_size, check_target, pad
from .windows import Window, edge_of, plan_windows

if TYPE_CHECKING:
    import torch

_DEPTH = 16  # depth in a hole, in pixels, beyond which results were seen to be guesses


@dataclass(frozen=True)
class Inpaint(Task):
    """Fills the hole of an image of any size, and keeps all other pixels bit for bit.

    `parts` are the windows through which the hole is filled, one after the other: at native scale
    where it is thin, and up to `rim` pixels from its edge; shrunk where it is thick. They depend on
    the mask alone (rules in `tasks.windows`). A hole that fits into one window is seen as in
    training. A model without `rim` and `window` was trained on whole images, such as faces: an
    image of at least twice its side is shrunk to it as a whole.

    With 4 channels the condition is RGB, 128 in the hole, and the mask (0 or 255); with 3, as in
    the paper, RGB with a black hole.
    """

    cond_channels: int = 4
    size: int = 64
    multiple: int = 16  # what the flow's image sides must be multiples of
    holes: str = "mixed"  # in training: "central" (25 %), "random" or "mixed"
    rim: int = 0  # width, in pixels, of the rim of thick holes that is filled at native scale
    window: int = 0  # side of the windows in images larger than `size`; 0: `size`
    source: HoleSource | None = field(default=None, compare=False)  # replaces `holes`

    name = "inpaint"
    channels = (4, 3)
    tau = 0.5
    candidates = 30
    needs_mask = True
    keeps_gray = True
    compact: ClassVar[Table] = {
        "anchor": "pixels",
        "guide": (64, 96, 128, 128),
        "guide_net": "unet",
        "hidden": (32, 64, 128),
    }
    command = "inpaint"
    usage = "inpaint photo.png --mask hole.png"
    verb = "repair"
    tag = "image-inpainting"
    paints = "hole"
    baseline = "mean fill"

    @classmethod
    def of(cls, config: Config) -> Inpaint:
        task = config.task
        return cls(
            cond_channels=config.flow.cond_channels,
            size=task.size,
            multiple=config.flow.multiple,
            holes=task.holes,
            rim=task.rim,
            window=task.window,
        )

    @classmethod
    def describe(cls, config: TaskConfig) -> str:
        return f"Fills holes in images. Trained on images of {config.size}×{config.size} pixels."

    def model_size(self, image: Pixels) -> Extent:
        side = self._window_side(image.shape)
        side += -side % self.multiple
        return side, side

    def parts(self, image: Pixels, mask: Pixels | None = None) -> Sequence[HoleWindow]:
        """The windows of the hole, in the order in which they are filled.

        Raises:
            CaflowError: The mask does not fit, or is empty.
        """
        hole = self.hole(image, mask)
        side, _ = self.model_size(image)
        known = image[~hole]
        is_gray = len(known) > 0 and not np.ptp(known, axis=-1).any()
        whole = self.rim == self.window == 0 and min(hole.shape) >= 2 * self.size
        unfilled = hole.copy()
        waves = np.zeros(hole.shape, np.int16)  # of the part that fills a pixel, counted from 1
        parts = []
        for window in plan_windows(hole, self._window_side(hole.shape), self.rim, whole):
            filled = window.of(unfilled).copy()
            earlier = window.of(hole) & ~filled
            wave = int(window.of(waves).max())
            window.of(waves)[filled] = wave + 1
            parts.append(
                HoleWindow(
                    window,
                    filled,
                    earlier,
                    self.cond_channels,
                    side,
                    is_gray,
                    wave,
                )
            )
            window.of(unfilled)[:] = False
        return parts

    def keep_known(self, condition: Pixels, sample: Pixels) -> Pixels:
        """Keep the sample in the hole, and known pixels outside; with 3 channels, black is hole."""
        if self.cond_channels == 4:
            hole = condition[..., 3:] >= HOLE
        else:
            hole = (condition == 0).all(-1, keepdims=True)
        return np.where(hole, sample, condition[..., :3])

    def keep_known_points(self, condition: torch.Tensor, sample: torch.Tensor) -> torch.Tensor:
        if self.cond_channels == 4:
            hole = condition[:, 3:] >= HOLE
        else:
            hole = (condition < 1).all(1, keepdim=True)
        return sample.where(hole, condition[:, :3])

    def training_condition(self, target: Pixels, generator: torch.Generator) -> Pixels:
        """Mark a hole in the target."""
        draw = self.source or partial(draw_hole, self.holes)
        hole = draw(target.shape[0], target.shape[1], generator)
        return _marked(target, hole, self.cond_channels)

    def with_masks(self, masks: Sequence[Any], share: float) -> Inpaint:
        return replace(self, source=partial(draw_from_masks, masks, share, self.holes))

    def evaluation_input(
        self,
        truth: Pixels,
        index: int,
        inputs: str = "clean",
        mask: Pixels | None = None,
    ) -> Example:
        """Fill the hole, by default the central 25 %, with 128."""
        if mask is None:
            mask = _white(central_hole(*truth.shape[:2]))
        hole = mask >= HOLE
        return Example(np.where(hole[..., None], np.uint8(FILL), truth), truth, mask)

    def baseline_image(self, example: Example) -> Pixels:
        """Fill the hole with the mean color of the rest."""
        hole = example.hole
        assert hole is not None
        mean = np.rint(example.input[~hole].mean(0)).astype(example.input.dtype)
        return np.where(hole[..., None], mean, example.input)

    def recomputed(
        self,
        image: Pixels,
        candidate: Pixels,
        hole: Mask | None,
    ) -> Pair:
        assert hole is not None
        return candidate[~hole], image[~hole]

    def note(self, image: Raster, mask: Pixels | None) -> str | None:
        if not self.rim or mask is None:
            return None
        hole = self.hole(image.values, mask)
        deep = hole & ~edge_of(hole, _DEPTH)
        if not deep.any():
            return None
        return (
            f"the hole is more than {2 * _DEPTH} pixels wide, so expect blur: the model was "
            "trained on scratches, dirt and small objects; mask less, or use a tool such as LaMa"
        )

    def hole(self, image: Pixels, mask: Pixels | None) -> Mask:
        """Where the mask is white. CaflowError (exit 1) if it does not fit, or is empty."""
        assert mask is not None, "`check_mask` comes first"
        check_same_size("the mask is", mask.shape, image.shape)
        hole: Mask = mask >= HOLE
        ensure(
            bool(hole.any()),
            f"the mask is empty: it has no white pixels; the brightest value is {mask.max()}, and "
            f"white is {HOLE} or more",
            "paint the area to fill white, and all else black",
        )
        return hole

    def check_known(self, image: Pixels, target: Pixels, mask: Pixels | None) -> None:
        """Raise CaflowError (exit 1) if known pixels of the target differ from the image."""
        check_target(image, target, image.shape[:2])
        changed = (image != target).any(-1) & ~self.hole(image, mask)
        count = int(changed.sum())
        pixels = "pixel differs" if count == 1 else "pixels differ"
        ensure(
            count == 0,
            f"{count} known {pixels} between image and target",
            "score an image that caflow inpaint wrote, or copy the image's known pixels into it",
        )

    def _window_side(self, shape: tuple[int, ...]) -> int:
        """S, the side of the windows for an image of that shape, no larger than necessary."""
        return max(self.size, min(self.window, max(shape[:2])))


@dataclass(frozen=True, eq=False)
class HoleWindow:
    """One part of filling a hole: what is filled through one window.

    A window larger than the model's side is shrunk by Pillow BICUBIC, excluding the pixels in the
    hole. A shrunk pixel that touches the hole belongs to it. A window smaller than the model's
    image is padded by reflection.
    """

    window: Window
    hole: Mask  # within the window: filled in this part
    earlier: Mask  # within the window: filled in earlier parts
    channels: int  # of the condition
    side: int  # of the model's image
    is_gray: bool = False  # whether all known pixels are gray, so that the fill must be gray
    wave: int = 0  # how many windows one after the other fill what it reads

    @property
    def place(self) -> Place:
        top, left = self.window.corner
        height, width = self.hole.shape
        return Place((left, top, width, height), int(self.hole.sum()), self.window.shrunk)

    @cached_property
    def cells(self) -> Mask:
        """Which of the model's pixels touch the hole: bool (h, w), without padding."""
        rows = _touched(self.hole, self.window.height)
        return _touched(rows.T, self.window.width).T

    @property
    def values(self) -> tuple[int, int]:
        """The numbers of scored values that are known and unknown: outside and in the hole."""
        unknown = 3 * int(pad(self.cells, self.side).sum())
        return 3 * self.side**2 - unknown, unknown

    def condition(self, image: Pixels) -> Pixels:
        """The window's known pixels, shrunk and padded, in an image with all earlier parts filled:
        uint8 (side, side, channels)."""
        return self._condition(self.window.of(image))

    def compose(self, image: Pixels, sample: Pixels) -> Pixels:
        """Fill the hole in place, so that a large image with many windows is not copied."""
        window = self.window
        known = self._shrink(window.of(image))
        inside = sample[: window.height, : window.width]
        # Outside the hole the sample only approximates the image, which would show at its edge.
        patch = np.where(self.cells[..., None], inside, known)
        fill = resize(patch, *self.hole.shape)
        if self.is_gray:
            fill = in_gray(fill)
        window.of(image)[self.hole] = fill[self.hole]
        return image

    def reduce(self, image: Pixels, target: Pixels) -> Pair:
        """The condition and target of this window at model scale, padded.

        Pixels that earlier parts have filled are taken from the target.
        """
        check_target(image, target, image.shape[:2])
        part = self.window.of(target)
        whole = resize(part, *self.cells.shape)
        scored = np.where(self.cells[..., None], whole, self._shrink(part))
        before = np.where(self.earlier[..., None], part, self.window.of(image))
        return self._condition(before), pad(scored, self.side)

    def _condition(self, part: Pixels) -> Pixels:
        known = self._shrink(part)
        return pad(_marked(known, self.cells, self.channels), self.side)

    def _shrink(self, part: Pixels) -> Pixels:
        """Shrink the window's known pixels to model scale: (h, w, 3).

        The result is BICUBIC of the image, with 0 in the hole, divided by BICUBIC of the weight,
        which is 1 for known pixels and 0 in the hole.
        """
        size = self.cells.shape
        if self.hole.shape == size:
            return part
        weight = resize((~self.hole).astype(np.float32), *size)
        weight[self.cells] = 1  # these results are unused, and the weight may be 0
        known = np.where(self.hole[..., None], 0, part).astype(np.float32)
        shrunk = resize(known, *size) / weight[..., None]
        return np.asarray(np.rint(shrunk).clip(0, white(part)), part.dtype)


def _marked(image: Pixels, hole: Mask, channels: int) -> Pixels:
    """Make a condition of 3 or 4 channels, as `Inpaint` describes: uint8 (h, w, channels)."""
    value = np.uint8(0 if channels == 3 else FILL)
    filled = np.where(hole[..., None], value, image)
    return filled if channels == 3 else np.dstack([filled, _white(hole)])


def _white(hole: Mask) -> Pixels:
    """A mask: 255 in the hole, else 0."""
    return 255 * hole.astype(np.uint8)


def _touched(hole: Mask, cells: int) -> Mask:
    """Reduce (N, W) to (cells, W): true where any row of the cell is. Cells may share a row."""
    edges = np.arange(cells + 1) * len(hole)
    first = edges[:-1] // cells
    end = -(-edges[1:] // cells)
    spans = np.stack([first, end], axis=1)
    touched = np.logical_or.reduceat(hole, spans.ravel()[:-1])
    return np.asarray(touched[::2])
