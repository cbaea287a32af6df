"""The candidates that `restore` returns for an image: kept, shown, and saved with provenance."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image

from ..config import Temperature
from ..errors import check_usage, ensure, usage_error
from ..images import FORMATS, Encoder, atomic_write, encode_png, format_of
from ..model import Calibration
from ..paths import exists, numbered
from ..sampling import Sampling
from ..tasks import Pixels, as_read, check_one_pass
from ..version import SCHEMA, __version__
from .candidate import Candidate, Request
from .conformal import bounds, moments
from .domain import Statistics
from .figures import grid_row


@dataclass(frozen=True, repr=False)
class Candidates:
    """All candidates of an image, best first, and the settings they were drawn with.

    A notebook displays their `grid`.

    Examples:
        >>> import caflow_cli as caflow
        >>> model = caflow.load("faces-superres-x4")
        >>> found = caflow.restore(model, "photo.png", candidates=2, keep=2)
        >>> [path.name for path in found.save("restored.png")]
        ['restored_01.png', 'restored_02.png']
        >>> type(found.grid()).__name__
        'Image'
        >>> found.notes
        []
    """

    ranked: list[Candidate]
    diverged: int  # how many of M were dropped, because they and their resamples diverged
    sampling: Sampling  # with tau and M filled in
    request: Request  # the input, its mask, and the task
    statistics: Statistics  # of the condition, for `domain.domain_warning`
    estimator: Mapping[str, str | int]
    model: Mapping[str, str | None]  # id and sha256
    calibration: Calibration | None = None  # the model's
    diverged_at: Temperature | None = None  # tau at which all M diverged, before they were drawn

    def __repr__(self) -> str:
        more = "; ".join([f"the first {self.ranked[0].score.summary}", *self.notes])
        return f"<Candidates: {len(self.ranked)} of {self.task} at τ {self.tau}, {more}>"

    @property
    def task(self) -> str:
        """The name of the model's task."""
        return self.request.task.name

    @property
    def tau(self) -> Temperature:
        """The temperature at which they were drawn."""
        return self.sampling.temperature

    @property
    def seen(self) -> Pixels:
        """The input in the colors that the model reads: uint8 (H, W, 3)."""
        return as_read(self.request.task, self.request.image)

    @property
    def hinted_pixels(self) -> int:
        """The number of pixels of which the color was stated."""
        return self.request.task.hinted_pixels

    @cached_property
    def notes(self) -> list[str]:
        """Warnings about the input, the same as the command line prints; usually none."""
        note = self.request.task.note(self.request.image, self.request.mask)
        return [note for note in (note, self.lower_tau_note) if note]

    @property
    def lower_tau_note(self) -> str | None:
        """The note on candidates drawn at a lower temperature; None for all others."""
        if self.diverged_at is None:
            return None
        return (
            f"all candidates diverged at tau {self.diverged_at}, so tau is {self.tau}: the image "
            "is unlike the training data"
        )

    @property
    def kept(self) -> list[Candidate]:
        """The best N candidates."""
        return self.ranked[: self.sampling.keep]

    def interval(self) -> tuple[Pixels, Pixels]:
        """The ends of the calibrated intervals of all values: two arrays, uint8 (H, W, 3).

        For images of the same kind as those of the calibration, the expected share of values within
        their intervals, ends included, is at least `calibration.level`. This is an average over
        images and values, not a promise for each image or pixel.

        Raises:
            CaflowError: (exit 2) the model has no calibration, or the candidates were drawn with
                other settings; (exit 1) a candidate is missing, colors were stated by hints, or
                they were drawn in tiles.
        """
        sampling = self.sampling.calibrated(self.calibration, self.model["id"])
        assert self.calibration is not None
        ensure(
            len(self.ranked) == sampling.candidates,
            f"no interval: {len(self.ranked)} of {sampling.candidates} candidates are there",
            "another seed",
        )
        ensure(not self.hinted_pixels, "no interval: colors were stated by hints", "no hints")
        check_one_pass(self.request.size)
        mean, variance = moments(candidate.pixels for candidate in self.ranked)
        return bounds(mean, np.sqrt(variance), self.calibration.lambd)

    def provenance(self, candidate: Candidate) -> dict[str, object]:
        """The provenance for a written image. It has no local path, because images are shared."""
        score = candidate.score
        sampling = self.sampling
        return {
            "schema": SCHEMA,
            "version": __version__,
            "task": self.task,
            "model": dict(self.model),
            "tau": self.tau.as_json(),
            "seed": candidate.seed,
            "rank": candidate.rank,
            "rank_by": sampling.rank,
            "rank_value": candidate.rank_value,
            "redraws": candidate.redraws,
            "candidates": len(self.ranked),
            **({"consistent": True} if sampling.consistent else {}),
            **({"precision": sampling.precision} if sampling.precision != "float32" else {}),
            "rank_score": score.rank_score,
            "log_likelihood": score.log_likelihood,
            "bits_per_dim": score.bits_per_dim,
            **({"parts": len(score.parts)} if score.parts else {}),
            **({"hinted_pixels": self.hinted_pixels} if self.hinted_pixels else {}),
            "estimator": self.estimator,
        }

    def save(self, path: str | Path, *, overwrite: bool = False) -> list[Path]:
        """Write the kept images, with provenance, and return their paths by rank.

        The suffix selects the format: PNG, WebP and TIFF keep the scored pixels, JPEG does not.
        If several images are kept, their rank precedes the suffix: `x_01.png` for `x.png`.

        Raises:
            CaflowError: (exit 2) the suffix is unknown, or a file exists and `overwrite` is false;
                then nothing is written. (exit 1) a file cannot be written.
        """
        path = Path(path)
        name = format_of(path)
        paths = numbered(path, len(self.kept))
        if name is None:
            known = ", ".join(suffixes[0] for suffixes in FORMATS.values())
            raise usage_error(f"{str(path)!r} has no image suffix", f"give it one of {known}")
        for each in () if overwrite else paths:
            check_usage(not exists(each), f"{str(each)!r} exists", "save(path, overwrite=True)")
        for each, candidate in zip(paths, self.kept, strict=True):
            record = json.dumps(self.provenance(candidate))
            data = Encoder(name).encode(candidate.written(candidate.pixels), record)
            atomic_write(each, data, replace=overwrite)
        return paths

    def grid(self, name: str = "input") -> Image.Image:
        """Draw a sheet of the input as the model reads it, captioned `name`, and all candidates by
        rank with their scores."""
        return Image.fromarray(grid_row(name, self.tau, self.seen, self.ranked))

    def _repr_png_(self) -> bytes:
        return encode_png(np.array(self.grid()))
