"""The notes about a picture, in one place: on the input before the work, and on what it brings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..config import TaskConfig
from ..tasks import Picture
from ..tasks.picture_notes import picture_note
from .domain import Statistics
from .harm import Harm

if TYPE_CHECKING:
    from .loaded_model import LoadedModel

__all__ = ["far_note", "input_notes", "named"]

_WARNING = "warning: "


def input_notes(
    task: TaskConfig,
    image: Picture,
    mask: Picture | None,
    harm: Harm | None,
    id: str,
    probability: float | None = None,
) -> list[str]:
    """The notes about an input before the work, one line each. Mostly there are none.

    Args:
        task: The model's.
        image: uint8 (H, W, 3).
        mask: uint8 (H, W), for inpainting.
        harm: The model's rule; None: it was not measured.
        id: Of the model.
        probability: What `harm` says of the image, where that is known.
    """
    note = picture_note(task, image, mask)
    if harm is not None and probability is None:
        probability = harm.probability(image)
    warning = None if harm is None or probability is None else harm.warning(probability, id)
    return [*([note] if note else []), *([_WARNING + warning] if warning else [])]


def far_note(loaded: LoadedModel, statistics: Statistics) -> str | None:
    """The warning of a picture unlike the training's, which only the drawing brings.

    None for a picture that is not far, and for a model that has a rule of harm or no domain.

    Args:
        loaded: The model.
        statistics: Of the picture's condition.
    """
    domain = loaded.domain
    if loaded.harm is not None or domain is None or not domain.is_far(statistics):
        return None
    return (
        f"{_WARNING}this picture is unlike those that {loaded.id} learned from: its distance is "
        f"{domain.distance(statistics):.1f}, that of the {domain.pictures} validation pictures at "
        f"most {domain.farthest:.1f}"
    )


def named(note: str, name: str) -> str:
    """A note of one of several pictures: `x.png: note`, or `warning: x.png: note`."""
    kind = _WARNING if note.startswith(_WARNING) else ""
    return f"{kind}{name}: {note.removeprefix(kind)}"
