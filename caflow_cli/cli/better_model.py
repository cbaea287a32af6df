"""A hint that names the bundled model that was made for pictures like this one."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ..assets import ASSETS

if TYPE_CHECKING:
    import numpy.typing as npt

    from ..hub.manifest import Entry
    from ..tasks import Picture

__all__ = ["better_model", "faceness", "layout"]

_SIDE = 8  # of the reduced picture
_DARK = 4.0  # levels: so even a picture is not made a pattern
_TIMES = 2  # a picture may be so many times as large as the model's own inputs


def better_model(task: str, image: Picture) -> str | None:
    """The bundled model of faces for the task, if a picture is an aligned face of its size.

    A picture counts as one if `faceness` is above the threshold that was chosen with its weights,
    and its sides are at most twice those of the model's inputs: a large portrait is another matter.

    Args:
        task: Of the command.
        image: The input, uint8 (H, W, 1 or 3).

    Returns:
        An id of the manifest; None: no other model is known to be better.
    """
    from ..hub.manifest import load_manifest

    entry = load_manifest().get(_rule()["models"].get(task, ""))
    if entry is None or max(image.shape[:2]) > _TIMES * _input_side(entry):
        return None
    return entry.id if faceness(image) > _rule()["threshold"] else None


def faceness(image: Picture) -> float:
    """How much a picture looks like an aligned, frontal face: the log odds of a logistic model.

    With the picture's `layout` x, the odds are `w·x + w_r r(x) + w_s s(x) + b`. `s` is the squared
    distance of x from the mean face along the faces' principal directions, each by its variance,
    and `r` the squared distance that is left. `.ci/faceness` learns all of it, and
    docs/experiments.md says how often it is right.

    Args:
        image: uint8 (H, W, 1 or 3).
    """
    rule = _rule()
    x = layout(image)
    away = x - np.array(rule["mean"])
    along = np.array(rule["directions"]) @ away
    features = [
        *x,
        float(np.square(away).sum() - np.square(along).sum()),
        float((np.square(along) / np.array(rule["variances"])).sum()),
        1.0,
    ]
    return float(np.array(features) @ np.array(rule["weights"]))


def layout(image: Picture) -> npt.NDArray[np.float64]:
    """The central square in grey, 8x8 by means, less its mean and by its deviation: (64,)."""
    from PIL import Image

    grey = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image).convert("L")
    side = min(grey.size)
    left, top = ((length - side) // 2 for length in grey.size)
    square = grey.crop((left, top, left + side, top + side))
    values = np.asarray(square.resize((_SIDE, _SIDE), Image.Resampling.BOX), np.float64).ravel()
    values -= values.mean()
    normed: npt.NDArray[np.float64] = values / (values.std() + _DARK)
    return normed


@cache
def _rule() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ASSETS / "faceness.json").read_text(encoding="utf-8"))
    return found


def _input_side(entry: Entry) -> int:
    task = entry.config["task"]
    return int(task["size"]) // (int(task["factor"]) if entry.task == "superres" else 1)
