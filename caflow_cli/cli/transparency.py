"""Pictures with alpha: the colours that a model sees, and the alpha of the result."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ..images import Decoded, resize_alpha
from ..tasks.base import Picture

if TYPE_CHECKING:
    from .loaded_model import LoadedModel

__all__ = ["as_seen", "filled_in", "put_back"]


def as_seen(picture: Decoded, loaded: LoadedModel) -> Picture:
    """The colours of a picture that go into its condition.

    If the picture is to be enlarged, colours of nearly transparent edges are replaced.
    """
    return picture.seen(faint=loaded.model.config.task.name == "superres")


def filled_in(picture: Decoded) -> Decoded:
    """An opaque picture in place of one whose transparent pixels are a hole to be filled."""
    return replace(picture, rgb=picture.seen(), alpha=None)


def put_back(
    image: Picture, picture: Decoded, mask: Picture | None
) -> tuple[Picture, Picture | None]:
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
