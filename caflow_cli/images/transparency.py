"""The alpha of a result: that of the picture it was made from."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .alpha import resize_alpha
from .decode import Decoded

__all__ = ["put_back"]

_Pixels = npt.NDArray[np.uint8]


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
