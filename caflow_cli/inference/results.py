"""The candidates of a picture, as `restore` gives them: kept, shown, and saved with provenance."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image

from ..config import Config
from ..errors import EXIT_USAGE, CaflowError
from ..images import FORMATS, Encoder, atomic_write, encode_png, format_of
from ..paths import exists, numbered
from ..tasks import Picture, get_task
from ..tasks.base import as_read
from ..temperature import Temperature
from ..version import SCHEMA, __version__
from .domain import Statistics
from .figures import thumbnail
from .grid import grid_row
from .score import Estimator, Score

__all__ = ["Candidate", "Candidates"]

_SHOWN = 256  # pixels of the longer side of a picture in a notebook


@dataclass(frozen=True, eq=False)
class Candidate:
    """One draw, with the score of the picture composed from it."""

    k: int
    seed: int  # replays it: `--seed SEED -m 1`
    rank: int  # from 1
    rank_value: float | None  # what the rule of rank says of it (`inference.choice`)
    score: Score
    consistency_max: int | None  # levels between the reduced picture and the input, if projected
    draws: tuple[Picture, ...]  # uint8, of the model's size, one a part; or projected: the picture
    compose: Callable[[Sequence[Picture]], Picture]
    redraws: int = 0  # draws of its generator that ran away, of all parts

    @property
    def image(self) -> Picture:
        """The picture, uint8 (H, W, 3), composed at each access to save memory."""
        return self.compose(self.draws)


@dataclass(frozen=True, repr=False)
class Candidates:
    """All M candidates of a picture, best first, and the settings they were drawn with.

    In a notebook it shows the kept ones with their scores, and the notes.

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
    keep: int
    tau: Temperature
    rank_by: str  # the rule of rank
    precision: str  # of nets while drawing
    estimator: Estimator
    statistics: Statistics  # of the condition, for `Domain`
    condition: Picture = field(repr=False)  # the input, uint8 (H, W, 3)
    mask: Picture | None = field(repr=False)  # uint8 (H, W)
    config: Config = field(repr=False)  # the model's
    model: Mapping[str, str | None]  # id and sha256

    def __repr__(self) -> str:
        first = f"the first {self.ranked[0].score.summary}"
        more = f"; {'; '.join(self.notes)}" if self.notes else ""
        return f"<Candidates: {len(self.ranked)} of {self.task} at τ {self.tau}, {first}{more}>"

    @property
    def task(self) -> str:
        """The name of the model's task."""
        return self.config.task.name

    @property
    def seen(self) -> Picture:
        """The input in the colours that the model reads: uint8 (H, W, 3)."""
        return as_read(get_task(self.config), self.condition)

    @cached_property
    def notes(self) -> list[str]:
        """The notes of the command line about the input before the work, one line each.

        That its own colours are dropped, or that a hole is too wide for detail. Mostly there are
        none.
        """
        note = get_task(self.config).note(self.condition, self.mask)
        return [note] if note else []

    @property
    def kept(self) -> list[Candidate]:
        """The best N candidates."""
        return self.ranked[: self.keep]

    def provenance(self, candidate: Candidate) -> dict[str, object]:
        """The provenance in a written picture. Pictures are passed on: there is no local path."""
        score = candidate.score
        return {
            "schema": SCHEMA,
            "version": __version__,
            "task": self.task,
            "model": dict(self.model),
            "tau": self.tau.as_json(),
            "seed": candidate.seed,
            "rank": candidate.rank,
            "rank_by": self.rank_by,
            "rank_value": candidate.rank_value,
            "redraws": candidate.redraws,
            "candidates": len(self.ranked),
            **({"consistent": True} if candidate.consistency_max is not None else {}),
            **({"precision": self.precision} if self.precision != "float32" else {}),
            "rank_score": score.rank_score,
            "log_likelihood": score.log_likelihood,
            "bits_per_dim": score.bits_per_dim,
            **({"parts": len(score.parts)} if score.parts else {}),
            "estimator": self.estimator,
        }

    def save(self, path: str | Path, *, overwrite: bool = False) -> list[Path]:
        """Write the kept pictures, with provenance, and return their paths by rank.

        One picture has the path itself; of several, each has its rank before the suffix: `x.png`
        becomes `x_01.png` and so on.

        Args:
            path: Its suffix says the format: PNG, WebP and TIFF keep the scored pixels, JPEG does
                not.
            overwrite: Replace files that exist.

        Raises:
            CaflowError: (exit 2) the suffix is none of a format, or a file exists; none is written
                then. (exit 1) a file cannot be written.
        """
        path = Path(path)
        name = format_of(path)
        if name is None:
            known = ", ".join(suffixes[0] for suffixes in FORMATS.values())
            raise CaflowError(
                f"{str(path)!r} ends like no format", f"give it one of {known}", EXIT_USAGE
            )
        paths = numbered(path, len(self.kept))
        for one in paths:
            if exists(one) and not overwrite:
                raise CaflowError(f"{str(one)!r} exists", "save(path, overwrite=True)", EXIT_USAGE)
        encoder = Encoder(name)
        for one, candidate in zip(paths, self.kept, strict=True):
            record = json.dumps(self.provenance(candidate))
            data = encoder.encode(candidate.image, None, record)
            atomic_write(one, data, replace=overwrite)
        return paths

    def grid(self, name: str = "input") -> Image.Image:
        """A sheet: the input as the model sees it, and all candidates by rank with their scores.

        Args:
            name: Of the input, for its caption.
        """
        return Image.fromarray(grid_row(name, self))

    def _repr_html_(self) -> str:
        """The kept pictures with their scores, as a notebook shows them."""
        figures = [
            _figure(self.seen, "input"),
            *(_figure(c.image, f"#{c.rank}, {c.score.summary}") for c in self.kept),
        ]
        model = self.model.get("id")
        head = f"{len(self.kept)} of {len(self.ranked)} candidates, tau {self.tau}, {model}"
        lines = "".join(f"<div>{html.escape(line)}</div>" for line in (head, *self.notes))
        return f"<div>{lines}{''.join(figures)}</div>"


def _figure(picture: np.ndarray, caption: str) -> str:
    data = base64.b64encode(encode_png(thumbnail(picture, _SHOWN))).decode()
    return (
        '<figure style="display:inline-block;margin:4px">'
        f'<img alt="{html.escape(caption)}" src="data:image/png;base64,{data}">'
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
    )
