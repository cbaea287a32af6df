"""The model of `caflow sample` where none is named: the one paired model, if a picture fits it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..errors import EXIT_USAGE, CaflowError

if TYPE_CHECKING:
    from ..inference.loaded_model import LoadedModel
    from ..tasks import Picture

__all__ = ["check_fit", "paired_models"]

_COLOURS = 4  # that cover
_SHARE = (
    0.68  # of a map or a drawing: of 100 maps 0.71 or more, of 95 % of 150 photographs 0.5 at most
)
_NEAR = 8  # levels in each channel: of the same colour, whatever JPEG left of it
_BIN = 4  # levels that are counted together, to find a frequent colour
_MOST = 256  # pixels of a side that are looked at, in the middle


def paired_models() -> list[str]:
    """The ids of the manifest's paired models, of which there must be one.

    Raises:
        CaflowError: (exit 2) there are several; the hint names them.
    """
    from ..hub.manifest import load_manifest

    names = [entry.id for entry in load_manifest().values() if entry.task == "paired"]
    if len(names) != 1:
        raise CaflowError(
            f"sample needs a model: there are {len(names)} paired ones",
            " or ".join(f"--model {name}" for name in names or ["FILE"]),
            EXIT_USAGE,
        )
    return names


def check_fit(loaded: LoadedModel, image: Picture, name: str) -> None:
    """Refuse a photograph for a model of maps that nobody asked for: it would give noise.

    Four colours cover two thirds of a map or a drawing.

    Args:
        loaded: The model.
        image: uint8 (H, W, 3).
        name: Of the picture, for the message.

    Raises:
        CaflowError: (exit 2) the picture is no map or drawing.
    """
    if _is_drawn(image):
        return
    raise CaflowError(
        f"{name!r} is no map or drawing, and {loaded.id}, the only paired model here, draws from "
        "those",
        f"--model MODEL of your own, --model {loaded.id} to draw all the same, or caflow superres, "
        "colorize, inpaint",
        EXIT_USAGE,
    )


def _is_drawn(image: Picture) -> bool:
    top, left = (max(0, (length - _MOST) // 2) for length in image.shape[:2])
    part = image[top : top + _MOST, left : left + _MOST]
    pixels = part.reshape(-1, 3).astype(np.int64)
    total = len(pixels)
    for _ in range(_COLOURS):
        if not len(pixels):
            break
        red, green, blue = (pixels // _BIN).T
        bins = (red << 16) + (green << 8) + blue
        frequent = pixels[bins == np.bincount(bins).argmax()].mean(0)
        pixels = pixels[np.abs(pixels - frequent).max(1) > _NEAR]
    return len(pixels) <= (1 - _SHARE) * total
