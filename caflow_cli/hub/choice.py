"""Which model is chosen when: the one list of such rules, which command, page and `score` ask.

| task     | when                                    | model                                     |
|----------|-----------------------------------------|-------------------------------------------|
| superres | a JPEG's luminance table is coarse      | web-superres-x4                           |
| superres | compressed, noisy or blurred pixels     | web-superres-x4                           |
| superres | a measured field                        | that of fields in its unit                |
| superres | 12 to 32 pixels wide and as high        | the default, a hint at faces-superres-x4  |
| any      | otherwise                               | the task's default in the manifest        |

A named model (`--model`, environment, config file) is always taken.
"""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..assets import ASSETS
from ..checkpoint import read_info
from ..config import TaskConfig
from ..errors import check_usage, usage_error
from ..fields import same_unit
from ..images import Input
from ..images.artifacts import Traces, Values, traces
from .manifest import bundled_path, load_manifest
from .resolve import default_model

if TYPE_CHECKING:
    from ..tasks.arguments import ImageLike

JUDGED = "superres"  # the task whose images decide between models
NAMED = "named by --model, the environment or the config file"
_WEB = "web-superres-x4"
_COARSE = 11.5  # mean of a luminance table: that of libjpeg's quality 90
_LIMITED = 0.15  # of `Traces.limited`
_SMALLEST = 16  # side, in pixels, of an image whose table counts
_READABLE = 64  # side, in pixels, below which the traces in pixels vary too much
_FACES = range(12, 33)  # sides, in pixels, of inputs that may be aligned faces


class Choice(NamedTuple):
    """A model, and why it was chosen."""

    model: str  # its id
    reason: str


@cache
def _classifier() -> dict[str, Values]:
    """Its numbers, which tests/benchmarks/choose.py fits."""
    numbers = json.loads((ASSETS / "choice.json").read_text("utf-8"))
    return {name: np.array(values, np.float64) for name, values in numbers.items()}


def log_odds(statistics: Values) -> float:
    """The log-odds that an image with these `Traces.statistics` is compressed, noisy or blurred.

    A logistic regression on the standardized values and their products.
    """
    fit = _classifier()
    z = ((statistics - fit["mean"]) / fit["deviation"]).clip(-3, 3)
    products = np.outer(z, z)[np.tril_indices(len(z))]
    return float(fit["bias"] + fit["weights"] @ z + fit["products"] @ products)


def is_degraded(found: Traces) -> bool:
    """Whether traces are those of a compressed, noisy or blurred image."""
    is_compressed = found.table > _COARSE or found.limited > _LIMITED
    return is_compressed or log_odds(found.statistics) > 0


def choose_model(
    image: ImageLike | None = None,
    task: str | None = None,
    *,
    value_range: tuple[float, float] | None = None,
    alpha: bool | None = None,
) -> Choice:
    """The model for an image and a task, by default superres: the first rule that applies.

    A JPEG with a coarse luminance table, as of libjpeg's quality below 90, is a web image. Any
    other image is judged by its pixels, so that the model for a path and for the array of its
    pixels may differ.

    Args:
        image: As for `restore`: a path, a PIL image, an array (H, W, 3) or (H, W), or a tensor
            (3, H, W); without it, the choice is the task's default.
        task: Such as "superres".
        value_range: The values of black and white, as for `restore`.
        alpha: Whether the last of 2 or 4 channels is transparency, as for `restore`.

    Raises:
        CaflowError: There is no model for the task (exit 3), or the image cannot be read.

    Examples:
        >>> import caflow_cli as caflow
        >>> from caflow_cli.assets import example_path
        >>> caflow.choose_model(example_path("cat_192")).model
        'photos-superres-x4'
    """
    task = task or TaskConfig.name
    if image is not None and not isinstance(image, Input):
        from ..tasks.arguments import as_input  # imports torch

        image = as_input(image, value_range, alpha)
    if image is not None and image.image.unit is not None:
        return _choose_field_model(image.image.unit.name)
    if image is not None and task == JUDGED:
        side = min(image.image.size)
        if side >= _SMALLEST and image.table > _COARSE:
            return Choice(_WEB, "for compressed images (its JPEG table)")
        if side >= _READABLE and is_degraded(traces(image.image.shown)):
            return Choice(_WEB, "for compressed, noisy or blurred images (its pixels)")
    return Choice(default_model(task).id, f"the default for {task}")


@cache
def field_models() -> dict[str, str]:
    """The ids of the bundled models of fields, by their units."""
    paths = {entry.id: bundled_path(entry) for entry in load_manifest().values()}
    known = {id: read_info(path).config.task.values for id, path in paths.items() if path}
    return {values.unit: id for id, values in known.items() if values is not None}


def _choose_field_model(unit: str) -> Choice:
    """The bundled model of fields in a unit.

    Raises:
        CaflowError: (exit 2) the unit is empty, or there is no model for it.
    """
    check_usage(bool(unit), "the field states no unit", "--model, of a model of fields in its unit")
    for known, id in field_models().items():
        if same_unit(known, unit):
            return Choice(id, f"for fields in {known}")
    raise usage_error(
        f"no bundled model refines fields in {unit}",
        f"--model FILE, or train one: caflow train --task superres --data FIELDS --unit '{unit}'",
    )


def is_chosen(task: str, model: str) -> bool:
    """Whether `choose_model` may return that model for some image of the task."""
    return model == default_model(task).id or (task, model) == (JUDGED, _WEB)


def hint_at_model(task: str, image: Input) -> str | None:
    """A hint at a model that may suit the image better than the chosen one, if there is one."""
    height, width = image.image.size
    is_field = image.image.unit is not None
    if task == JUDGED and height == width and height in _FACES and not is_field:
        return "if this is an aligned face, try --model faces-superres-x4"
    return None
