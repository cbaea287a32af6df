"""Pictures with alpha: the colours that a model sees, and how alpha comes back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..images import Decoded, resize_alpha
from ..tasks.base import Picture

if TYPE_CHECKING:
    from .loaded_model import LoadedModel

__all__ = ["as_seen", "put_back"]


def as_seen(picture: Decoded, loaded: LoadedModel) -> Picture:
    """The colours that a condition is made of.

    Where they are enlarged, the colours of edges that hardly show are left out.
    """
    return picture.seen(faint=loaded.model.config.task.name == "superres")


def put_back(
    image: Picture, picture: Decoded, mask: Picture | None
) -> tuple[Picture, Picture | None]:
    """The colours and the alpha of a result.

    Alpha is the input's, at the result's size. Of a picture that was filled in, what is outside of
    the mask comes out as it came in, seen or not.
    """
    if picture.alpha is None:
        return image, None
    if mask is not None:
        hidden = (picture.alpha == 0) & (mask < 128)
        image = np.where(hidden[..., None], picture.rgb, image)
    return image, resize_alpha(picture.alpha, (image.shape[0], image.shape[1]))
