"""Training pictures of a stream: as many as are kept at a time, each renewed when it was used."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..data import Address, endless
from ..data.photographs import centres
from ..data.sets import check_side, square
from ..errors import CaflowError
from ..images import read_image

__all__ = ["StreamedPhotographs", "StreamedPictures", "decoded"]

_Image = npt.NDArray[np.uint8]  # (H, W, 3)
_ALLOWED = 0.01  # share of damaged pictures, beyond
_FEW = 3  # the first ones


class StreamedPictures:
    """Keeps pictures, or pairs, of one size: a buffer that a permutation draws from.

    Args:
        examples: Yields the pictures of each example, and never ends.
        count: How many are kept.
        size: Side of the pictures in pixels; others are cropped to their central square and
            resized, as by `load_split`.
        channels: Of each picture of an example: (3,), or those of condition and target.
    """

    def __init__(
        self, examples: Iterator[list[_Image]], count: int, size: int, channels: tuple[int, ...]
    ) -> None:
        self._examples = examples
        self.tensors = [torch.empty((count, c, size, size), dtype=torch.uint8) for c in channels]
        for index in range(count):
            self.renew(index)

    def renew(self, index: int) -> None:
        """Put the next example of the stream in the place of a used one."""
        for tensor, picture in zip(self.tensors, next(self._examples), strict=True):
            _, channels, size, _ = tensor.shape
            part = square(picture, size, channels, "a picture of the stream")
            tensor[index] = torch.from_numpy(part.transpose(2, 0, 1).copy())


class StreamedPhotographs:
    """Keeps pictures of any size, as `Photographs` does, and renews them like `StreamedPictures`.

    Args:
        examples: Yields one picture in each list, and never ends.
        count: How many are kept.
        size: The least side that a picture may have.
    """

    def __init__(self, examples: Iterator[list[_Image]], count: int, size: int) -> None:
        self._examples, self._size = examples, size
        self._pictures = [self._next() for _ in range(count)]

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, index: int) -> Tensor:
        """Picture `index`, uint8 (3, H, W), whose memory is (H, W, 3)."""
        return torch.from_numpy(self._pictures[index]).permute(2, 0, 1)

    @property
    def nbytes(self) -> int:
        return sum(picture.nbytes for picture in self._pictures)

    def centres(self, indices: Tensor, size: int) -> Tensor:
        """The central `size` x `size` pixels of these pictures: uint8 (n, 3, size, size)."""
        return centres(self, indices, size)

    def renew(self, index: int) -> None:
        """Put the next picture of the stream in the place of a used one."""
        self._pictures[index] = self._next()

    def _next(self) -> _Image:
        (picture,) = next(self._examples)
        height, width = picture.shape[:2]
        check_side(height, width, self._size, "a picture of the stream")
        return picture.copy()


def decoded(
    data: str | Path, paired: bool, seed: int, held_out: int, share: tuple[int, int]
) -> Iterator[list[_Image]]:
    """Decode the training examples of a stream, without end. Damaged ones are left out.

    Args:
        data: The stream, as `Address` names it.
        paired: Whether an example is a pair.
        seed, held_out, share: As for `endless`.

    Raises:
        CaflowError: More than 1 % are damaged, or as for `endless`.
    """
    address = Address.of(data)
    examples = endless(address, "pairs" if paired else "pictures", seed, held_out, share)
    damaged = 0
    for number, files in enumerate(examples, 1):
        try:
            pictures = [read_image(io.BytesIO(file), name="a picture") for file in files]
        except CaflowError as error:
            damaged += 1
            if damaged > max(_FEW, _ALLOWED * number):
                raise CaflowError(
                    f"{damaged} of {number} pictures in {address.text!r} are damaged: "
                    f"{error.message}",
                    "repair or remove them; up to 1 % is skipped",
                ) from error
            continue
        yield pictures
