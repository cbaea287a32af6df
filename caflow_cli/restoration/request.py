"""A request: an image to draw candidates for, with everything that decides them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Annotated, TypedDict

import numpy as np
import torch
from torch import Tensor

from ..config import Extent
from ..devices import check_bf16
from ..errors import usage_error
from ..flows import ValueScale
from ..images import LARGE, Input, Pixels, Raster
from ..model import CAFlow
from ..records import Count, NonNegative
from ..sampling import Sampling
from ..tasks import Part, Task, check_size
from ..tasks.base import MOST, MOST_RESIZED, WholeImage
from ..tasks.tiles import LazyImage, plan_tiles
from .conditions import Conditions, Progress, Steps, Window, to_batch
from .edits import Edit, EditOptions, Resize, edits_of
from .rows import Rows
from .tiled import Tiled
from .whole import Whole


class Chosen(TypedDict):
    """A temperature that a field has chosen, see `choose_tau`."""

    tau: Annotated[list[NonNegative], "The temperature that was chosen: that of `params`."]
    own: Annotated[list[NonNegative], "The model's own, which it is without such a gain."]
    best: Annotated[list[NonNegative], "The one with the least CRPS of maxima."]
    areas: Annotated[Count, "Number of areas of 4×4 cells, wet at the coarser scale."]
    gain: Annotated[
        NonNegative, "How much less the CRPS of their maxima is at `best` than at `own`: a share."
    ]
    standard_error: Annotated[NonNegative, "Of the gain, from blocks of 16×16 cells."]


@dataclass(frozen=True, eq=False)
class Request:
    """What `prepare` makes of an image and its settings; it never changes.

    An image has one part, or several if its hole takes several windows.
    """

    model: CAFlow
    task: Task
    input: Input
    mask: Pixels | None  # uint8 (H, W), white where the image is to be filled
    image: Pixels  # as the task reads it; each later part gets what the previous ones composed
    size: Extent  # height and width that the model draws, for each part
    parts: Sequence[Part]
    sampling: Sampling  # with all defaults filled in
    scale: ValueScale  # of the values that are drawn or scored
    noise_samples: int | None = 1  # K of the scores; None: candidates are not scored
    edits: Sequence[Edit] = ()  # of the written image
    chosen: Chosen | None = None  # what chose τ, if it was auto

    @property
    def is_scored(self) -> bool:
        return self.noise_samples is not None

    @property
    def draws(self) -> int:
        """K, the draws of noise of each score."""
        return self.noise_samples or 1

    @property
    def unscored(self) -> Request:
        """The same, whose candidates are not scored."""
        return replace(self, noise_samples=None)

    @property
    def is_large(self) -> bool:
        """Whether only its input is held at full size, and regions of conditions are computed."""
        return math.prod(self.size) > LARGE

    @cached_property
    def shown(self) -> Pixels:
        """`image` as 8-bit sRGB, for the eye and for statistics."""
        return self.as_image(self.image).shown

    @property
    def note(self) -> str | None:
        """A warning about the input; usually None."""
        return self.task.note(self.as_image(self.image), self.mask)

    @property
    def seen(self) -> Raster:
        """The input as models see it, whose profile results have."""
        return self.input.image.seen

    @property
    def depth(self) -> int:
        """Bits per channel of what is drawn: 8 or 16."""
        return self.seen.bits

    def as_image(self, pixels: Pixels) -> Raster:
        """Values of this request, or of a candidate, as a raster of its kind."""
        return replace(self.seen, values=pixels, alpha=None, infrared=None)

    def window(self, part: Part, window: Window, size: Extent) -> Window:
        """Where a window of a sample of a part lies in the written image, whose size is `size`
        unless it is resized.
        """
        if part.place is not None:
            return part.place.window
        resize = next((edit for edit in self.edits if isinstance(edit, Resize)), None)
        height, width = size if resize is None else resize.written[::-1]
        assert isinstance(self.task, WholeImage), "all other parts have a place"
        rows, columns = self.task.scaled_size(self.image)
        left, top, right, bottom = (
            min(edge, most) * times / most
            for edge, most, times in (
                (window[0], columns, width),
                (window[1], rows, height),
                (window[0] + window[2], columns, width),
                (window[1] + window[3], rows, height),
            )
        )
        x, y = math.floor(left), math.floor(top)
        return x, y, math.ceil(right) - x, math.ceil(bottom) - y

    def composed(self, samples: Sequence[Pixels]) -> Pixels:
        """Compose the image with samples of its parts, uint8 of the model's size: (H, W, 3)."""
        image = self.image.copy()  # inpainting composes in place
        for part, sample in zip(self.parts, samples, strict=False):
            image = self.compose(part, image, sample)
        return image

    def compose(self, part: Part, image: Pixels, sample: Pixels) -> Pixels:
        """Put a sample of a part into the image, in values that a result holds."""
        return self.input.image.held(part.compose(image, sample))

    def lazy_condition(self) -> LazyImage:
        return self._lazy(partial(self.task.part_of_condition, self.image))

    def lazy_target(self, target: Pixels) -> LazyImage:
        return self._lazy(partial(self.task.part_of_target, self.image, target))

    def rows(self) -> Rows | None:
        """What resizes the image while it is drawn, if nobody needs it at full size."""
        resize = next((edit for edit in self.edits if isinstance(edit, Resize)), None)
        if resize is None or self.is_scored or not self.is_large:
            return None
        (width, height), (drawn_width, drawn_height) = resize.written, resize.drawn
        result = np.empty((height, width, 3), self.image.dtype)
        compose = partial(self.parts[0].compose, self.image)
        return Rows(result, (drawn_height, drawn_width), compose)

    def _lazy(self, part: Callable[[slice, slice], Pixels]) -> LazyImage:
        return LazyImage((1, 3, *self.size), part, torch.from_numpy(self.image[:0]).dtype)


def prepare(
    model: CAFlow,
    image: Input,
    mask: Pixels | None = None,
    sampling: Sampling | None = None,
    options: EditOptions | None = None,
) -> Request:
    """Make the request for a user's image, and fill in every default.

    A single candidate that is drawn in tiles is not scored, unless a ranking rule is given.

    Args:
        model: Any model.
        image: Any image, of 8 or 16 bits; transparent pixels are filled for the model, and alpha
            is kept.
        mask: uint8 (H, W), white where the image is to be filled.
        sampling: What is None is the model's, else the task's.
        options: What is asked of edits of the candidates; None: there are none.

    Raises:
        CaflowError: The mask is missing, unexpected or does not fit; the image is too large; a
            setting or an edit does not fit; or the device has no fast bfloat16.
    """
    sampling = sampling or Sampling()
    task = task_of(model, sampling)
    task.check_mask(mask is not None)
    image = task.accepted(image)
    seen = image.image.seen.filled(soften=task.enlarges)
    size = task.model_size(seen)
    parts = task.parts(seen, mask)
    filled = sampling.of(model.config, size, len(parts) if task.needs_mask else None)
    if filled.bf16:
        check_bf16(model.device)
    # In tiles, a score takes nearly as long as the image, and a single one ranks nothing.
    alone = filled.candidates == 1 and sampling.rank is None
    noise_samples = None if alone and math.prod(size) > task.one_pass else 1
    if math.prod(size) > LARGE:
        check_large(task, seen, size, alone and "size" in (options or {}))
    edits: list[Edit] = []
    if options is not None:
        edits = edits_of(task, seen, image.image.seen.profile, mask, options)
    scale = task.scale_for(image.image.seen.bits)
    return Request(model, task, image, mask, seen, size, parts, filled, scale, noise_samples, edits)


def check_large(task: Task, image: Pixels, size: Extent, resized: bool) -> None:
    """Raise CaflowError if more than 64 megapixels are too many for the task, or more than 256; for
    one candidate that is `resized`, more than 400.
    """
    if not task.has_regions:
        check_size(image, size)
    elif resized:
        check_size(image, size, MOST_RESIZED)
    else:
        most = f"{MOST_RESIZED / 1e6:.0f}"
        hint = f"superres --scale 2 -m 1 (up to {most}), or a part with --crop X,Y,WxH"
        check_size(image, size, MOST, hint)


def task_of(model: CAFlow, sampling: Sampling | None = None) -> Task:
    """The task that the model was trained for, with candidates consistent if `sampling` says so.

    Raises:
        CaflowError: (exit 2) `model` is a name or path, not a loaded model.
    """
    if isinstance(model, str | Path):
        raise usage_error(
            f"the model is {str(model)!r}, a name, not a loaded model",
            f"model = caflow_cli.load({str(model)!r})",
        )
    return (sampling or Sampling()).task(model.config)


def encode(requests: Sequence[Request], progress: Progress | None = None) -> Conditions:
    """Compute the conditions of the first parts of requests.

    Args:
        requests: Of one model, size and settings. One that is drawn in tiles comes alone.
        progress: Called after each pass of the model over these conditions, or over later ones.
    """
    first = requests[0]
    steps = Steps(progress)
    if first.is_large:
        return conditions_of(first, first.lazy_condition(), steps)
    images = [request.parts[0].condition(request.image) for request in requests]
    return conditions_of(first, to_batch(images), steps)


def conditions_of(request: Request, cond: Tensor | LazyImage, steps: Steps) -> Conditions:
    """Conditions, uint8 (B, C, H, W), in one piece if they fit into memory, else in tiles."""
    model = request.model
    bf16 = request.sampling.bf16
    if math.prod(request.size) > request.task.one_pass:
        tiles = plan_tiles(request.size, model.config.flow.multiple)
        if len(tiles) > 1:
            return Tiled(model, cond, tiles, bf16, steps, request.rows)
    assert isinstance(cond, Tensor)
    return Whole(model, cond, bf16, steps, request.scale)


def seconds_to_draw(request: Request) -> float:
    """How long the candidates of a large request take here, by a trial of one tile."""
    conditions = encode([request])
    assert isinstance(conditions, Tiled)
    images = (request.sampling.candidates or 1) * (1 + request.is_scored)
    return images * conditions.seconds(request.sampling.temperature)
