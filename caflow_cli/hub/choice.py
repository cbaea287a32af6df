"""Which model is chosen when: the one list of such rules, which command, page and `score` ask.

| task     | when                                | model                                         |
|----------|-------------------------------------|-----------------------------------------------|
| superres | a JPEG of quality below 90          | web-superres-x4                               |
| superres | 12 to 32 pixels wide and as high    | the default, with a hint at faces-superres-x4 |
| any      | otherwise                           | the task's default in the manifest            |

A named model (`--model`, environment, config file) is always taken.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from ..config import TaskConfig
from .resolve import default_model

if TYPE_CHECKING:
    from ..images import Decoded

NAMED = "named by --model, the environment or the config file"
_QUALITY = 90  # of JPEGs; those below it are enlarged by the model of web images
_FACES = range(12, 33)  # sides, in pixels, of inputs that may be aligned faces


class Choice(NamedTuple):
    """A model, and why it was chosen."""

    model: str  # its id
    reason: str


class Rule(NamedTuple):
    """A choice for the images of a task for which `when` is true."""

    task: str
    when: Callable[[Decoded], bool]
    choice: Choice


def _is_compressed(image: Decoded) -> bool:
    return image.quality is not None and image.quality < _QUALITY


def _is_face_sized(image: Decoded) -> bool:
    height, width = image.rgb.shape[:2]
    return height == width and height in _FACES


_WEB = Choice("web-superres-x4", f"for JPEGs of quality below {_QUALITY}")
_FACE = Choice("faces-superres-x4", "if this is an aligned face, try --model faces-superres-x4")
RULES = (Rule("superres", _is_compressed, _WEB),)
HINTS = (Rule("superres", _is_face_sized, _FACE),)


def choose_model(task: str | None = None, image: Decoded | None = None) -> Choice:
    """The model for a task, by default superres, and an image: the first rule that applies.

    Without an image, it is the task's default. CaflowError (exit 3) if there is none.
    """
    task = task or TaskConfig.name
    for rule in RULES:
        if image is not None and rule.task == task and rule.when(image):
            return rule.choice
    return Choice(default_model(task).id, f"the default for {task}")


def is_chosen(task: str, model: str) -> bool:
    """Whether `choose_model` may return that model for some image of the task."""
    return any(model == rule.choice.model for rule in RULES if rule.task == task) or (
        model == default_model(task).id
    )


def hint_at_model(task: str, image: Decoded) -> str | None:
    """A hint at a model that may suit the image better than the chosen one, if there is one."""
    hints = [rule.choice.reason for rule in HINTS if rule.task == task and rule.when(image)]
    return hints[0] if hints else None
