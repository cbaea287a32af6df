"""Inpainting: the condition is a window onto a hole, with the known pixels around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from ..config import HOLE, Config, TaskConfig
from ..errors import ensure
from .base import Mask, Pixels, Place, Task, check_mask_size, check_target, grey, pad, resize
from .holes import HoleSource, MaskHoles, central_hole, draw_hole
from .windows import Window, edge_of, plan_windows

if TYPE_CHECKING:
    import torch

_FILL = 128  # value in the hole, if there is a mask channel
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

    name: ClassVar[str] = "inpaint"
    channels: ClassVar[tuple[int, ...]] = (4, 3)
    tau: ClassVar[float] = 0.5
    candidates: ClassVar[int] = 30
    needs_mask: ClassVar[bool] = True
    compact: ClassVar[dict[str, Any]] = {
        "anchor": "pixels",
        "guide": (64, 96, 96, 112),
        "hidden": (32, 64, 128),
    }
    command: ClassVar[str] = "inpaint"
    usage: ClassVar[str] = "inpaint photo.png --mask hole.png"
    verb: ClassVar[str] = "fill a hole"
    tag: ClassVar[str] = "image-inpainting"
    paints: ClassVar[Literal["", "hole", "map"]] = "hole"
    baseline: ClassVar[str] = "mean fill"

    @classmethod
    def of(cls, config: Config) -> Inpaint:
        task, flow = config.task, config.flow
        return cls(flow.cond_channels, task.size, flow.multiple, task.holes, task.rim, task.window)

    @classmethod
    def describe(cls, config: TaskConfig) -> str:
        return f"Fills holes in images. Trained on images of {config.size}×{config.size} pixels."

    def model_size(self, image: Pixels, mask: Pixels | None = None) -> tuple[int, int]:
        side = self._window_side(image.shape)
        side += -side % self.multiple
        return side, side

    def parts(self, image: Pixels, mask: Pixels | None = None) -> Sequence[HoleWindow]:
        """The windows of the hole, in the order in which they are filled.

        Raises:
            CaflowError: The mask does not fit, is empty, or takes too many windows.
        """
        hole = self.hole(image, mask)
        left, found, (side, _) = hole.copy(), [], self.model_size(image)
        is_grey = not hole.all() and not np.ptp(image, axis=-1)[~hole].any()
        whole = self.rim == self.window == 0 and min(hole.shape) >= 2 * self.size
        for window in plan_windows(hole, self._window_side(hole.shape), self.rim, whole):
            own = window.of(left).copy()
            earlier = window.of(hole) & ~own
            found.append(HoleWindow(window, own, earlier, self.cond_channels, side, is_grey))
            window.of(left)[:] = False
        return found

    def keep_known(self, condition: Pixels, sample: Pixels) -> Pixels:
        """Keep the sample in the hole, and known pixels outside; with 3 channels, black is hole."""
        marked, black = condition[..., 3:] >= HOLE, (condition == 0).all(-1, keepdims=True)
        return np.where(marked if self.cond_channels == 4 else black, sample, condition[..., :3])

    def keep_known_points(self, condition: torch.Tensor, sample: torch.Tensor) -> torch.Tensor:
        marked, black = condition[:, 3:] >= HOLE, (condition < 1).all(1, keepdim=True)
        return sample.where(marked if self.cond_channels == 4 else black, condition[:, :3])

    def training_condition(
        self, target: Pixels, generator: torch.Generator | None = None
    ) -> Pixels:
        """Mark a hole in the target, drawn from `generator`; without one, the central hole."""
        (height, width), draw = target.shape[:2], self.source or partial(draw_hole, self.holes)
        hole = central_hole(height, width) if generator is None else draw(height, width, generator)
        return _marked(target, hole, self.cond_channels)

    def with_masks(self, masks: Sequence[Any], share: float) -> Inpaint:
        return replace(self, source=MaskHoles(masks, share, self.holes))

    def evaluation_input(
        self, truth: Pixels, index: int, inputs: str = "clean", mask: Pixels | None = None
    ) -> tuple[Pixels, Pixels, Pixels | None]:
        """Fill the hole, by default the central 25 %, with 128."""
        if mask is None:
            hole = central_hole(*truth.shape[:2])
            mask = np.where(hole, np.uint8(255), np.uint8(0))
        return np.where((mask >= HOLE)[..., None], np.uint8(_FILL), truth), truth, mask

    def baseline_image(
        self, image: Pixels, size: tuple[int, int], hole: Mask | None, other: Pixels | None
    ) -> Pixels:
        """Fill the hole with the mean color of the rest."""
        assert hole is not None
        mean = np.rint(image[~hole].mean(0)).astype(np.uint8)
        return np.where(hole[..., None], mean, image)

    def recomputed(
        self, image: Pixels, candidate: Pixels, hole: Mask | None
    ) -> tuple[Pixels, Pixels]:
        assert hole is not None
        return candidate[~hole], image[~hole]

    def note(self, image: Pixels, mask: Pixels | None) -> str | None:
        if not self.rim or mask is None:
            return None
        hole = self.hole(image, mask)
        if not (hole & ~edge_of(hole, _DEPTH)).any():
            return None
        return (
            f"the hole is more than {2 * _DEPTH} pixels wide, so expect blur: the model was "
            "trained on scratches, dirt and small objects; mask less, or use a tool such as LaMa"
        )

    def hole(self, image: Pixels, mask: Pixels | None) -> Mask:
        self.check_mask(mask is not None)
        assert mask is not None
        height, width = image.shape[:2]
        check_mask_size(mask.shape, image.shape)
        values = mask.reshape(height, width, -1)[..., 0]
        hole: Mask = values >= HOLE
        most = int(values.max())
        lit = f"; the brightest value is {most}, and white is {HOLE} or more" if most else ""
        ensure(
            most >= HOLE,
            f"the mask is empty: it has no white pixels{lit}",
            "paint the area to fill white, and all else black",
        )
        return hole

    def check_known(self, image: Pixels, target: Pixels, mask: Pixels | None) -> None:
        """Raise CaflowError (exit 1) if known pixels of the target differ from the image."""
        check_target(image, target, image.shape[:2], "the size of the condition")
        differ = int(((image != target).any(-1) & ~self.hole(image, mask)).sum())
        ensure(
            differ == 0,
            f"{differ} known {'pixel differs' if differ == 1 else 'pixels differ'} between image "
            "and target",
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
    is_grey: bool = False  # whether all known pixels are grey, so that the fill must be grey

    @property
    def place(self) -> Place:
        (top, left), (height, width) = self.window.corner, self.hole.shape
        return Place((left, top, width, height), int(self.hole.sum()), self.window.shrunk)

    @cached_property
    def cells(self) -> Mask:
        """Which of the model's pixels touch the hole: bool (h, w), without padding."""
        size = self.window.height, self.window.width
        if self.hole.shape == size:
            return self.hole
        return _touched(_touched(self.hole, size[0]).T, size[1]).T

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
        known, cells = self._shrink(window.of(image)), self.cells
        # Outside the hole the sample only approximates the image, which would show at its edge.
        patch = np.where(cells[..., None], sample[: window.height, : window.width], known)
        fill = resize(patch, *self.hole.shape)
        if self.is_grey:
            fill = np.repeat(grey(fill)[..., None], 3, 2)
        window.of(image)[self.hole] = fill[self.hole]
        return image

    def reduce(self, image: Pixels, target: Pixels) -> tuple[Pixels, Pixels]:
        """The condition and target of this window at model scale, padded.

        Pixels that earlier parts have filled are taken from the target.
        """
        check_target(image, target, image.shape[:2], "the size of the condition")
        part = self.window.of(target)
        known, cells = self._shrink(part), self.cells
        whole = resize(np.ascontiguousarray(part), *cells.shape)
        before = np.where(self.earlier[..., None], part, self.window.of(image))
        return self._condition(before), pad(np.where(cells[..., None], whole, known), self.side)

    def add_map(self, total: npt.NDArray[np.float64], values: npt.NDArray[np.float64]) -> None:
        total[:, self.window.rows, self.window.columns] += self.onto_pixels(values)

    def onto_pixels(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Spread a map at model scale over the window's pixels: (..., side, side) to (..., H, W).

        Values on padding are added to the pixels that it reflects. The value of a shrunk pixel is
        divided evenly among the pixels that it covers. So the sum is preserved.
        """
        spans = (self.window.height, self.window.width)
        for axis, (cells, pixels) in enumerate(zip(spans, self.hole.shape, strict=True), -2):
            columns = np.moveaxis(values, axis, 0)
            folded = np.zeros((cells, *columns.shape[1:]))
            np.add.at(folded, pad(np.arange(cells)[:, None], self.side)[:, 0], columns)
            cell = np.arange(pixels) * cells // pixels
            counts = np.bincount(cell, minlength=cells).reshape(-1, *[1] * (values.ndim - 1))
            values = np.moveaxis((folded / counts)[cell], 0, axis)
        return values

    def _condition(self, part: Pixels) -> Pixels:
        return pad(_marked(self._shrink(part), self.cells, self.channels), self.side)

    def _shrink(self, part: Pixels) -> Pixels:
        """Shrink the window's known pixels to model scale: (h, w, 3).

        The result is BICUBIC of the image, with 0 in the hole, divided by BICUBIC of the weight,
        which is 1 for known pixels and 0 in the hole.
        """
        inside, size = self.hole, self.cells.shape
        if inside.shape == size:
            return part
        weight = resize((~inside).astype(np.float32), *size)
        weight[self.cells] = 1  # these results are unused, and the weight may be 0
        known = [
            resize(np.where(inside, 0, part[..., c]).astype(np.float32), *size) / weight
            for c in range(3)
        ]
        shrunk: Pixels = np.rint(np.stack(known, -1)).clip(0, 255).astype(np.uint8)
        return shrunk


def _marked(image: Pixels, hole: Mask, channels: int) -> Pixels:
    """Make a condition of 3 or 4 channels, as `Inpaint` describes: uint8 (h, w, channels)."""
    if channels == 3:
        return np.where(hole[..., None], np.uint8(0), image)
    mark = np.where(hole, np.uint8(255), np.uint8(0))
    return np.dstack([np.where(hole[..., None], np.uint8(_FILL), image), mark])


def _touched(hole: Mask, cells: int) -> Mask:
    """Reduce (N, W) to (cells, W): true where any row of the cell is. Cells may share a row."""
    edges = np.arange(cells + 1) * len(hole)
    first, last = edges[:-1] // cells, -(-edges[1:] // cells)
    counts = np.concatenate([np.zeros_like(hole[:1], np.int32), hole.cumsum(0, dtype=np.int32)])
    return counts[last] > counts[first]
