"""The model of `caflow sample` where none is named: the one paired model, if a picture fits it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..errors import EXIT_USAGE, CaflowError

if TYPE_CHECKING:
    from ..inference.loaded_model import LoadedModel
    from ..tasks import Picture

__all__ = ["check_fit", "paired_models"]

_COLOUR = 24  # levels between channels: paper and JPEG have less
_STAINS = 0.02  # share of coloured pixels that a drawing may have
_GROUND = 16  # levels around the tone of the ground


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
    """Refuse a photograph for a model of drawings that nobody asked for: it would give noise.

    A model with a grey condition cannot see colours. A drawing is grey, and at least half of it is
    one ground, within 16 levels. A model with a condition of three channels takes everything.

    Args:
        loaded: The model.
        image: uint8 (H, W, 3).
        name: Of the picture, for the message.

    Raises:
        CaflowError: (exit 2) the picture is no drawing.
    """
    if loaded.model.config.flow.cond_channels != 1 or _is_drawing(image):
        return
    raise CaflowError(
        f"{name!r} is no drawing, and {loaded.id}, the only paired model here, draws from drawings",
        f"--model MODEL of your own, --model {loaded.id} to draw all the same, or caflow superres, "
        "colorize, inpaint",
        EXIT_USAGE,
    )


def _is_drawing(image: Picture) -> bool:
    coloured = np.ptp(image, axis=-1) > _COLOUR
    if coloured.mean() > _STAINS:
        return False
    levels = np.bincount(image[..., 1].ravel(), minlength=256)
    grounds = np.convolve(levels, np.ones(2 * _GROUND + 1, int), "same")
    return bool(grounds.max() >= levels.sum() / 2)
