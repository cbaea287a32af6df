"""The candidates that answer a request: ranked, shown, described, and saved with provenance."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from ..config import Temperature
from ..errors import check_usage, usage_error
from ..fields import (
    FIELD_FORMATS,
    FieldEncoder,
    format_of_field,
    members_in_xarray,
    record_of,
    stacked,
)
from ..fields.project import repeated
from ..fields.scale import Linear
from ..images import (
    FORMATS,
    Encoder,
    Output,
    Pixels,
    atomic_write,
    encode_png,
    format_of,
    is_gray,
)
from ..images.profile import Array
from ..names import numbered
from ..paths import exists
from ..sampling import Sampling
from ..tasks import as_read
from ..version import SCHEMA, __version__
from .conditions import Divergence, Window
from .domain import Statistics, domain_warning
from .figures import captioned_row, field_row, field_uncertainty, uncertainty_chart
from .rank import order, rmse_between
from .request import Request
from .score import Score, estimator_of

if TYPE_CHECKING:
    import xarray


@dataclass(frozen=True, eq=False)
class Candidate:
    """One sample: drawn part by part, composed, and scored."""

    request: Request
    k: int
    seed: int  # replays it: `--seed SEED -m 1`
    divergence: Divergence  # of its windows
    score: Score
    _kept: Pixels | Sequence[Pixels]  # the scored image, or the samples that it is composed of
    predicted: Sequence[Window] = ()  # where it is the guide's prediction, in the written image
    rank: int = 0  # from 1
    rank_value: float | None = None  # v_k of the ranking rule (`order`)

    @property
    def redraws(self) -> int:
        """How often windows of it were drawn again, because they diverged."""
        return self.divergence.redraws

    @property
    def pixels(self) -> Pixels:
        """The scored image, uint8 (H, W, 3); a large one is composed on each access."""
        if isinstance(self._kept, np.ndarray):
            return self._kept
        return self.request.composed(self._kept)

    @property
    def edited(self) -> Pixels:
        """The image with all edits, uint8 (H, W, 3)."""
        image = self.pixels
        for edit in self.request.edits:
            image = edit.apply(image, self.seed)
        return image

    @property
    def shown(self) -> Pixels:
        """The edited image as 8-bit sRGB, for the eye."""
        return self.request.as_image(self.edited).shown

    @property
    def output(self) -> Output:
        """What is written of it: the edited image, with the input's alpha and metadata."""
        request = self.request
        task = request.task
        return request.input.output(
            self.edited, request.mask, keeps_gray=task.keeps_gray, unit=task.unit
        )

    @property
    def image(self) -> Pixels:
        """The restored image, uint8 (H, W, 3), or (H, W, 4) if the input has alpha. With a
        `value_range`, it has that and the input's type (float32 of floats), and gray is (H, W). Of
        a field, its values, float32 (H, W)."""
        output = self.output
        image = output.image if output.image.value_range is not None else output.image.seen
        values = image.values
        if image.unit is not None or (image.value_range and output.gray and is_gray(values)):
            values = values[..., 0]
        return values if image.alpha is None else np.dstack([values, image.alpha])

    @cached_property
    def consistency_max(self) -> float | None:
        """The largest difference of the reduced image and the input, in levels of 8 bits; None if
        the task does not recompute its input from a result, or the image is large."""
        request = self.request
        if not request.task.enlarges or request.is_large:
            return None
        recomputed = request.task.recomputed(request.image, self.pixels, None)
        assert recomputed is not None
        result, image = recomputed
        worst = int(np.abs(result.astype(np.int32) - image).max())
        return worst if request.depth == 8 else worst / 256

    def as_json(self, exact: bool = True) -> dict[str, Any]:
        """Its fields in JSON lines; `exact` says if the scored pixels are those that are saved."""
        consistency = self.consistency_max
        more = {} if consistency is None else {"consistency_max": consistency}
        return {
            "rank": self.rank,
            "seed": self.seed,
            "rank_by": self.request.sampling.rank,
            "rank_value": self.rank_value,
            "redraws": self.redraws,
            **({"predicted": self.predicted} if self.predicted else {}),
            **self.score.as_json(),
            "score_exact": exact,
            **more,
        }


@dataclass(frozen=True, repr=False, eq=False)
class Candidates:
    """The candidates of an image that were drawn so far; `ranked` has the best first.

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

    request: Request  # the input, its mask, and all settings
    drawn: Sequence[Candidate] = ()  # in the order of k
    statistics: Statistics | None = None  # of the condition

    def __repr__(self) -> str:
        more = "; ".join([f"the first {self.ranked[0].score.summary}", *self.notes])
        return f"<Candidates: {len(self.ranked)} of {self.task} at τ {self.tau}, {more}>"

    @cached_property
    def ranked(self) -> list[Candidate]:
        """All candidates by rank, the best first; last those that the guide predicts in part."""
        rule = self.sampling.rank or "likelihood"
        drawn = [candidate for candidate in self.drawn if not candidate.predicted]
        apart = None
        if rule == "consensus":
            apart = rmse_between([candidate.pixels for candidate in drawn])
        scores = [candidate.score.rank_score or 0.0 for candidate in drawn]
        ranked = [(drawn[index], value) for index, value in order(rule, scores, apart)]
        ranked += [(candidate, None) for candidate in self.drawn if candidate.predicted]
        return [
            replace(candidate, rank=rank, rank_value=value)
            for rank, (candidate, value) in enumerate(ranked, 1)
        ]

    @property
    def values(self) -> Array:
        """All candidates in order of seed: (M, H, W, 3), or of fields (M, H, W) in the unit."""
        return np.stack([candidate.image for candidate in self.drawn])

    @property
    def kept(self) -> list[Candidate]:
        """The best N candidates."""
        return self.ranked[: self.sampling.keep]

    @property
    def divergence(self) -> Divergence:
        """How often windows of all candidates diverged."""
        return Divergence.sum(each.divergence for each in self.drawn)

    @property
    def task(self) -> str:
        """The name of the model's task."""
        return self.request.task.name

    @property
    def sampling(self) -> Sampling:
        """The settings, with all defaults filled in."""
        return self.request.sampling

    @property
    def tau(self) -> Temperature:
        """The temperature at which they were drawn."""
        return self.sampling.temperature

    @property
    def seen(self) -> Pixels:
        """The input in the colors that the model reads, as 8-bit sRGB: uint8 (H, W, 3)."""
        return as_read(self.request.task, self.request.shown)

    @cached_property
    def notes(self) -> list[str]:
        """Warnings about the input, the same as the command line prints; usually none."""
        request = self.request
        return [note for note in (request.note, request.input.note, self.predicted_note) if note]

    @cached_property
    def warning(self) -> str | None:
        """The note on an input that is unlike the training data; None for any other."""
        assert self.statistics is not None, "some candidates are drawn"
        return domain_warning(self.request.model, self.statistics)

    @property
    def predicted_note(self) -> str | None:
        """The note on windows that are the guide's prediction; None if there are none."""
        count = sum(bool(candidate.predicted) for candidate in self.drawn)
        windows = self.divergence.predicted
        if not count:
            return None
        return (
            f"{count} of {len(self.drawn)} candidates diverged at tau {self.tau} in {windows} "
            f"window{'s' * (windows > 1)} that the guide alone predicts: smooth, and not scored"
        )

    @property
    def record(self) -> dict[str, Any]:
        """What JSON lines and provenance state of all candidates together."""
        request = self.request
        depth = request.depth
        value_range = request.input.image.value_range
        return {
            "model": dict(request.model.identity),
            "params": self.sampling.as_json(),
            **({"tau_chosen": request.chosen} if request.chosen else {}),
            "estimator": estimator_of(request.model, request.draws, depth),
            **({"depth": depth} if depth == 16 else {}),
            **({"crop": request.input.crop} if request.input.crop else {}),
            **({"value_range": value_range} if value_range is not None else {}),
            **{edit.field: edit.as_json() for edit in request.edits},
        }

    def as_json(self, lossless: bool = True) -> dict[str, Any]:
        """What JSON lines state of the candidates, whose images are saved `lossless` or not."""
        exact = lossless and not self.request.edits and self.request.seen.alpha is None
        parts = [asdict(place) for place in self.ranked[0].score.parts]
        return {
            **self.record,
            "candidates": [{"k": each.k, **each.as_json(exact)} for each in self.ranked],
            **({"parts": parts} if parts else {}),
        }

    def provenance(self, candidate: Candidate) -> dict[str, Any]:
        """The provenance for a written image. It has no local path, because images are shared."""
        record = self.record
        settings = record.pop("params")
        for name in ("candidates", "keep", "seed"):
            del settings[name]
        score = candidate.score
        parts = len(score.parts)
        return {
            "schema": SCHEMA,
            "version": __version__,
            "task": self.task,
            "model": record.pop("model"),
            "tau": settings.pop("tau"),
            "seed": candidate.seed,
            "rank": candidate.rank,
            "rank_by": settings.pop("rank"),
            "rank_value": candidate.rank_value,
            "redraws": candidate.redraws,
            **({"predicted": candidate.predicted} if candidate.predicted else {}),
            "candidates": len(self.ranked),
            **settings,
            "rank_score": score.rank_score,
            "log_likelihood": score.log_likelihood,
            "bits_per_dim": score.bits_per_dim,
            **({"parts": parts} if parts else {}),
            **record,
        }

    def save(self, path: str | Path, *, overwrite: bool = False) -> list[Path]:
        """Write the kept images, with provenance, and return their paths by rank.

        The suffix selects the format: PNG, WebP and TIFF keep the scored pixels, JPEG does not.
        If several images are kept, their rank precedes the suffix: `x_01.png` for `x.png`. Members
        of a field are bands of one TIFF, NetCDF file or `.npy`.

        Raises:
            CaflowError: (exit 2) the suffix is unknown, or a file exists and `overwrite` is false;
                then nothing is written. (exit 1) a file cannot be written.
        """
        path = Path(path)
        encoder = self._encoder(path)
        paths = [path] if self.request.task.is_ensemble else numbered(path, len(self.kept))
        for each in () if overwrite else paths:
            check_usage(not exists(each), f"{str(each)!r} exists", "save(path, overwrite=True)")
        for each, data in zip(paths, self.files(encoder), strict=True):
            atomic_write(each, data, replace=overwrite)
        return paths

    def _encoder(self, path: Path) -> Encoder | FieldEncoder:
        """The encoder for a path's suffix."""
        is_field = self.request.task.is_ensemble
        name = format_of_field(path) if is_field else format_of(path)
        if name is None:
            kind = "field" if is_field else "image"
            known = FIELD_FORMATS if is_field else [suffixes[0] for suffixes in FORMATS.values()]
            raise usage_error(
                f"{str(path)!r} has no {kind} suffix", f"give it one of {', '.join(known)}"
            )
        return FieldEncoder(name) if is_field else Encoder(name)

    def files(self, encoder: Encoder | FieldEncoder) -> Iterator[bytes]:
        """The files of the kept candidates, with provenance."""
        kept = self.kept
        return encoder.files([each.output for each in kept], [self.provenance(e) for e in kept])

    def to_xarray(self) -> xarray.DataArray:
        """The kept members of a field, with the refined coordinates of the coarse one."""
        outputs = [each.output for each in self.kept]
        record = record_of([self.provenance(each) for each in self.kept])
        return members_in_xarray(stacked(outputs), outputs[0].image, record["seeds"], record)

    def grid(self, name: str = "input") -> Image.Image:
        """Draw a sheet of the input as the model reads it, captioned `name`, and all candidates by
        rank with their scores."""
        height, width = self.request.image.shape[:2]
        own = [name, f"{width} × {height}", f"τ {self.tau}"]
        texts = [
            [f"#{each.rank}   seed {each.seed}", *each.score.summary.split(", ")]
            for each in self.ranked
        ]
        if self.request.task.is_ensemble:
            coarse = repeated(self.request.image[..., 0], self.request.task.factor)
            fields = [coarse, *(each.image for each in self.ranked)]
            return Image.fromarray(
                field_row([*zip(fields, [own, *texts], strict=True)], self.scale)
            )
        images = [self.seen, *(each.shown for each in self.ranked)]
        return Image.fromarray(captioned_row([*zip(images, [own, *texts], strict=True)]))

    @property
    def scale(self) -> Linear:
        """Of a measured field."""
        assert isinstance(self.request.scale, Linear), "a measured field"
        return self.request.scale

    def uncertainty(self, name: str) -> Pixels:
        """Draw the standard deviation of all candidates beside the best, captioned `name`."""
        if self.request.task.is_ensemble:
            return field_uncertainty(name, self.values, self.scale, self.tau)
        return uncertainty_chart(name, self.ranked, self.tau)

    def _repr_png_(self) -> bytes:
        return encode_png(np.array(self.grid()))
