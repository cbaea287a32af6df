"""Inpainting: the condition is the picture around a hole, at model scale."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from ..errors import EXIT_USAGE, CaflowError
from .base import Picture, check_same_size, pad, resize
from .holes import HoleSource, central_hole, draw_hole

if TYPE_CHECKING:
    import torch

__all__ = ["Inpaint"]

_Mask = npt.NDArray[np.bool_]  # (H, W), true = fill

_Kind = TypeVar("_Kind", bound=np.generic)

_FILL = 128  # of the hole, with a mask channel beside it
_WHITE = 128  # a mask's values from here up are the hole


class _Window(NamedTuple):
    """The part of a picture that the model sees, and its size there (unpadded)."""

    rows: slice
    columns: slice
    height: int
    width: int

    def of(self, image: npt.NDArray[_Kind]) -> npt.NDArray[_Kind]:
        return image[self.rows, self.columns]


@dataclass(frozen=True)
class Inpaint:
    """Fills the hole of a picture of any size, and keeps all other pixels bit for bit.

    The model sees a window that depends on the mask alone. It is a square around the box of all
    holes, twice as wide as that box, as in training, and at least `size` wide. It is clipped and
    moved to lie in the picture. A window larger than `size` is shrunk to it by Pillow BICUBIC,
    without the pixels in the hole. A shrunk pixel that touches the hole belongs to it. A smaller
    picture is padded by reflection.

    With 4 channels the condition is RGB, 128 in the hole, and the mask (0 or 255); with 3, as the
    paper has it, RGB with a black hole.
    """

    cond_channels: int = 4
    size: int = 64
    multiple: int = 16  # of the flow's sides
    holes: str = "mixed"  # in training: "central" (25 %), "random" or "mixed"
    source: HoleSource | None = field(default=None, compare=False)  # draws them in place of `holes`

    name: ClassVar[str] = "inpaint"
    channels: ClassVar[tuple[int, ...]] = (4, 3)
    tau: ClassVar[float] = 0.5
    candidates: ClassVar[int] = 30
    needs_mask: ClassVar[bool] = True
    derives_condition: ClassVar[bool] = True

    def model_size(self, image: Picture, mask: Picture | None = None) -> tuple[int, int]:
        return self._side, self._side

    def condition(self, image: Picture, mask: Picture | None = None) -> Picture:
        """The window's known pixels, shrunk and padded: uint8 (h, w, cond_channels)."""
        hole = self._hole(image, mask)
        known, cells = self._shrink(image, hole)
        return self._pad(self._mark(known, cells))

    def compose(self, image: Picture, draw: Picture, mask: Picture | None = None) -> Picture:
        """Enlarge the draw and put it into the hole of the picture."""
        hole = self._hole(image, mask)
        window = self._window(hole)
        known, cells = self._shrink(image, hole)
        # Outside the hole the draw is only nearly the picture, and would show at its edge.
        patch = np.where(cells[..., None], draw[: window.height, : window.width], known)
        inside = window.of(hole)
        result = image.copy()
        window.of(result)[inside] = resize(patch, *inside.shape)[inside]
        return result

    def reduce(
        self, image: Picture, target: Picture, mask: Picture | None = None
    ) -> tuple[Picture, Picture]:
        """Compute the windows of picture and target at model scale, padded.

        Raises:
            CaflowError: (exit 1) the target has another size than the picture.
        """
        check_same_size(image, target)
        hole = self._hole(image, mask)
        window = self._window(hole)
        known, cells = self._shrink(target, hole)
        whole = resize(np.ascontiguousarray(window.of(target)), window.height, window.width)
        reduced = np.where(cells[..., None], whole, known)
        return self.condition(image, mask), self._pad(reduced)

    def settle(self, condition: Picture, draw: Picture) -> Picture:
        """Keep the draw in the hole, and known pixels outside. Of 3 channels, black is the hole."""
        if self.cond_channels == 4:
            hole = condition[..., 3:] >= _WHITE
        else:
            hole = (condition == 0).all(axis=-1, keepdims=True)
        return np.where(hole, draw, condition[..., :3])

    def training_condition(
        self, target: Picture, generator: torch.Generator | None = None
    ) -> Picture:
        """Mark a hole in the target, drawn by `generator`; without a generator, the central hole.

        uint8 (H, W, 3) to (H, W, cond_channels).
        """
        height, width = target.shape[:2]
        if generator is None:
            return self._mark(target, central_hole(height, width))
        if self.source is not None:
            return self._mark(target, self.source(height, width, generator))
        return self._mark(target, draw_hole(self.holes, height, width, generator))

    def held_out_condition(self, target: Picture, index: int) -> Picture:
        """Mark the hole of validation picture `index` in the target."""
        import torch  # here, so that the defaults above are had without it

        return self.training_condition(target, torch.Generator().manual_seed(index))

    @property
    def _side(self) -> int:
        return self.size + -self.size % self.multiple

    # --- the window -------------------------------------------------------------------------------

    def _hole(self, image: Picture, mask: Picture | None) -> _Mask:
        """Check the mask, and convert it to booleans (H, W)."""
        if mask is None:
            raise CaflowError("inpaint needs a mask", "--mask FILE, white = fill", EXIT_USAGE)
        height, width = image.shape[:2]
        if mask.shape[:2] != (height, width):
            raise CaflowError(
                f"the mask is {mask.shape[1]}x{mask.shape[0]}, the picture {width}x{height}",
                f"give a mask of {width}x{height}, white where the picture is to be filled",
            )
        hole = mask.reshape(height, width, -1)[..., 0] >= _WHITE
        if not hole.any():
            raise CaflowError(
                "the mask is empty: nothing in it is white",
                "paint what is to be filled white, all else black",
            )
        return hole

    def _window(self, hole: _Mask) -> _Window:
        height, width = hole.shape
        rows, columns = (np.flatnonzero(hole.any(axis)) for axis in (1, 0))
        box = 1 + max(int(rows[-1] - rows[0]), int(columns[-1] - columns[0]))
        side = max(self.size, min(2 * box, max(height, width)))
        spans, sizes = [], []
        for line, length in ((rows, height), (columns, width)):
            span = min(side, length)
            middle = (int(line[0]) + int(line[-1]) + 1) // 2
            first = min(max(middle - span // 2, 0), length - span)
            spans.append(slice(first, first + span))
            sizes.append(max(1, (2 * span * self.size + side) // (2 * side)))
        return _Window(spans[0], spans[1], sizes[0], sizes[1])

    def _shrink(self, image: Picture, hole: _Mask) -> tuple[Picture, _Mask]:
        """Shrink the window's known pixels to model scale, and mark cells that touch the hole.

        The result is BICUBIC of the known pixels divided by BICUBIC of their weight, which is 1 for
        known pixels: (h, w, 3).
        """
        window = self._window(hole)
        part, inside = window.of(image), window.of(hole)
        if inside.shape == (window.height, window.width):
            return part, inside
        cells = _touched(_touched(inside, window.height).T, window.width).T
        size = (window.height, window.width)
        weight = resize((~inside).astype(np.float32), *size)
        weight[cells] = 1  # unused, and may be 0
        known = [
            resize(np.where(inside, 0, part[..., c]).astype(np.float32), *size) / weight
            for c in range(3)
        ]
        return np.rint(np.stack(known, -1)).clip(0, 255).astype(np.uint8), cells

    def _mark(self, image: Picture, hole: _Mask) -> Picture:
        """Make the condition: the picture with the hole in one colour and, if wanted, the mask."""
        if self.cond_channels == 3:
            return np.where(hole[..., None], np.uint8(0), image)
        result = np.empty((*hole.shape, 4), np.uint8)
        result[..., :3] = np.where(hole[..., None], np.uint8(_FILL), image)
        result[..., 3] = np.where(hole, np.uint8(255), np.uint8(0))
        return result

    def _pad(self, image: Picture) -> Picture:
        """Pad a picture, or a condition with its hole, by reflection to `_side`."""
        return pad(image, self._side)


def _touched(hole: _Mask, cells: int) -> _Mask:
    """Whether any row of each cell is true, (N, W) to (cells, W). Cells may share a row."""
    rows = len(hole)
    edges = np.arange(cells + 1) * rows
    first, last = edges[:-1] // cells, -(-edges[1:] // cells)
    counts = np.concatenate([np.zeros_like(hole[:1], np.int32), hole.cumsum(0, dtype=np.int32)])
    return counts[last] > counts[first]
