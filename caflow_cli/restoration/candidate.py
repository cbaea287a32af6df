"""What is drawn: a request for an image, and the candidates that answer it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial

import numpy as np
import torch

from ..config import Extent
from ..images import LARGE, Output
from ..model import bits_per_dim, standard_error
from ..tasks import Part, Pixels, Task, check_size
from .score import PartScore, Score
from .tiles import LazyImage


@dataclass(frozen=True, eq=False)
class Request:
    """An image to draw candidates for, part by part.

    An image has one part, or several if its hole takes several windows.
    """

    task: Task
    image: Pixels  # the first part's input; each later part gets what the previous one composed
    mask: Pixels | None
    size: Extent  # height and width that the model draws, for each part
    parts: Sequence[Part]

    @classmethod
    def of(
        cls, task: Task, image: Pixels, mask: Pixels | None = None, hints: Pixels | None = None
    ) -> Request:
        """Make the request for a user's image, uint8 (H, W, 3), its mask, uint8 (H, W), and color
        hints, uint8 (H, W, 4).

        Raises:
            CaflowError: The mask is missing, unexpected or does not fit; hints are unexpected or
                do not fit; the image is too large.
        """
        task.check_mask(mask is not None)
        if hints is not None:
            task = task.with_hints(image, hints)
        size = task.model_size(image)
        check_size(size, task.has_regions)
        return cls(task, image, mask, size, task.parts(image, mask))

    @property
    def is_large(self) -> bool:
        """Whether only its input is held at full size, and regions of conditions are computed."""
        return math.prod(self.size) > LARGE

    def score(self, part_scores: Sequence[PartScore], image: Pixels) -> Score:
        """Combine the log-likelihoods of all parts into the score of an image, uint8 (H, W, C).

        Without part scores, the image was not scored, and all values are None.
        """
        height, width = self.size
        places = tuple(part.place for part in self.parts if part.place is not None)
        total = sum(one.value for one in part_scores) if part_scores else None
        score = Score(total, None, None, None, "tiles", (width, height), places)
        deviations = [one.deviations for one in part_scores if one.deviations is not None]
        if total is None or len(deviations) < len(self.parts):
            return score
        counts = [part.values for part in self.parts if part.values is not None]
        if counts:
            known, unknown = (sum(of_parts) for of_parts in zip(*counts, strict=True))
            score = replace(score, known_values=known, unknown_values=unknown)
        domain = "image" if image.shape[:2] == self.size else "reduced"
        if len(self.parts) > 1:
            domain = "parts"
            if any(place.shrunk for place in places):
                return replace(score, score_domain=domain)
        # All parts use the same noise, so their errors are not independent: sum them draw by draw.
        together = torch.stack(deviations).sum(0)
        return replace(
            score,
            log_likelihood=total,
            bits_per_dim=bits_per_dim(total, len(self.parts) * image.shape[2] * height * width),
            standard_error=float(standard_error(together[:, None])) if len(together) > 1 else None,
            score_domain=domain,
        )

    def lazy_condition(self) -> LazyImage:
        return LazyImage((1, 3, *self.size), partial(self.task.part_of_condition, self.image))

    def lazy_target(self, target: Pixels) -> LazyImage:
        return LazyImage((1, 3, *self.size), partial(self.task.part_of_target, self.image, target))


@dataclass(eq=False)
class Candidate:
    """One sample: drawn part by part, composed, scored, ranked."""

    request: Request
    row: int  # index of its request among those drawn together
    k: int
    seed: int  # replays it: `--seed SEED -m 1`
    redraws: int = 0  # how many samples diverged, over all parts
    diverged: bool = False  # to be dropped: too many samples diverged, or its score is not finite
    score: Score = field(init=False)  # of the image
    unhinted: Score | None = None  # of the image without color hints, by which it is ranked
    rank: int = 0  # from 1
    rank_value: float | None = None  # v_k of the ranking rule (`order`)
    written: Callable[[Pixels], Output] = Output  # adds what the input keeps, such as alpha
    part_scores: list[PartScore] = field(default_factory=list)
    _samples: list[Pixels] = field(default_factory=list)  # uint8, of the model's size, one per part
    _image: Pixels | None = None

    @property
    def image(self) -> Pixels:
        """The restored image, uint8 (H, W, 3), or (H, W, 4) if `restore` was given alpha."""
        output = self.written(self.pixels)
        return output.rgb if output.alpha is None else np.dstack([output.rgb, output.alpha])

    @property
    def pixels(self) -> Pixels:
        """The scored image, uint8 (H, W, 3); a large one is composed on each access."""
        if self._image is not None:
            return self._image
        image = self.request.image.copy()  # inpainting composes in place
        for part, sample in zip(self.request.parts, self._samples, strict=False):
            image = part.compose(image, sample)
        return image

    @property
    def unhinted_pixels(self) -> Pixels:
        """The image without color hints: the same if there are none."""
        task = self.request.task
        if not task.hinted_pixels:
            return self.pixels
        part = task.without_hints().parts(self.request.image)[0]
        return part.compose(self.request.image, self._samples[0])

    @property
    def rank_score(self) -> float | None:
        """The score in nats by which it is ranked; None if it is not scored."""
        return (self.unhinted or self.score).rank_score

    @cached_property
    def consistency_max(self) -> int | None:
        """The largest difference of the reduced image and the input, in levels; None if the task
        does not recompute its input from a result, or the image is large."""
        request = self.request
        if "consistent" not in request.task.options or request.is_large:
            return None
        recomputed = request.task.recomputed(request.image, self.pixels, None)
        assert recomputed is not None
        result, image = recomputed
        return int(np.abs(result.astype(np.int16) - image).max())

    def take(self, sample: Pixels) -> None:
        """Compose the image with the sample of its next part."""
        part = self.request.parts[len(self._samples)]
        self._image = part.compose(self.pixels, sample)
        self._samples.append(sample)

    def release(self) -> None:
        """Keep either the image or the samples it is composed of, whichever takes less memory.

        With color hints, the samples are kept, for the image without hints.
        """
        size = sum(sample.nbytes for sample in self._samples)
        if self.request.task.hinted_pixels or self.pixels.nbytes > size:
            self._image = None
        else:
            self._samples = []
