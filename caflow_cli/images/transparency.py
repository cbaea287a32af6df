"""Pictures with alpha: holes that are transparent, and the alpha of a result."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from .alpha import resize_alpha
from .decode import Decoded

__all__ = ["filled_in", "put_back"]

_Pixels = npt.NDArray[np.uint8]


def filled_in(picture: Decoded) -> Decoded:
    """An opaque picture in place of one whose transparent pixels are a hole to be filled."""
    return replace(picture, rgb=picture.seen(), alpha=None)


def put_back(
    image: _Pixels, picture: Decoded, mask: _Pixels | None
) -> tuple[_Pixels, _Pixels | None]:
    """The colours and the alpha of a result.

    Alpha is the input's, at the result's size. In an inpainted picture, everything outside the mask
    comes out as it came in, whether it is visible or not.
    """
    if picture.alpha is None:
        return image, None
    if mask is not None:
        hidden = (picture.alpha == 0) & (mask < 128)
        image = np.where(hidden[..., None], picture.rgb, image)
    return image, resize_alpha(picture.alpha, (image.shape[0], image.shape[1]))
