"""The notes of an input before the work, in one place."""

from __future__ import annotations

from ..config import TaskConfig
from ..tasks import Picture
from ..tasks.picture_notes import picture_note
from .harm import Harm

__all__ = ["input_notes"]


def input_notes(
    task: TaskConfig, image: Picture, mask: Picture | None, harm: Harm | None, id: str
) -> list[str]:
    """The notes about an input, one line each. Mostly there are none.

    Args:
        task: The model's.
        image: uint8 (H, W, 3).
        mask: uint8 (H, W), for inpainting.
        harm: The model's rule; None: it was not measured.
        id: Of the model.
    """
    note = picture_note(task, image, mask)
    warning = harm and harm.warning(harm.probability(image), id)
    return [*([note] if note else []), *([f"warning: {warning}"] if warning else [])]
