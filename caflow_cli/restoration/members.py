"""Ensembles of fields: the members that are drawn for a coarse field, and their files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..devices import check_bf16
from ..errors import check_usage
from ..fields import (
    Array,
    Field,
    field_of,
    members_in_xarray,
    write_members,
)
from ..model import CAFlow
from ..paths import exists
from ..sampling import SEEDS, Sampling
from ..version import SCHEMA, __version__
from .conditions import Progress, Steps, Window
from .fields import Coarse, FieldLike, FieldScore, values_of
from .rank import order
from .score import estimator_of

if TYPE_CHECKING:
    import xarray


@dataclass(frozen=True, eq=False)
class Member:
    """One sample: projected to the coarse field's means, rounded to float32, and scored."""

    values: Array  # (H, W) float32 in the unit, 0 where dry, NaN where missing
    k: int
    seed: int  # replays it: `--seed SEED -m 1`
    redraws: int  # how many samples diverged before it
    score: FieldScore
    predicted: Sequence[Window] = ()  # all of it, if all did: then it is the guide's prediction


@dataclass(frozen=True, eq=False)
class Members:
    """The ensemble that answers a coarse field.

    Examples:
        >>> members.values.shape  # doctest: +SKIP
        (50, 512, 512)
        >>> members.values.mean(0)  # doctest: +SKIP
    """

    model: CAFlow
    field: Field  # the coarse one
    sampling: Sampling  # with all defaults filled in
    drawn: Sequence[Member]  # in the order of k

    def __repr__(self) -> str:
        unit = self.drawn[0].score.unit
        return f"<Members: {len(self.drawn)} fields in {unit} at τ {self.sampling.temperature}>"

    @property
    def values(self) -> Array:
        """All members in order of seed: (M, H, W), float32 in the unit."""
        return np.stack([member.values for member in self.drawn])

    @cached_property
    def ranked(self) -> list[Member]:
        """All members by likelihood; in order of seed if N is M. Predicted ones come last.

        The likelihood prefers smooth members, and those with few wet cells in other units than with
        many: an ensemble is all of its members.
        """
        rule = self.sampling.rank or "none"
        drawn = [member for member in self.drawn if not member.predicted]
        scores = [member.score.log_likelihood or 0.0 for member in drawn]
        ranked = [drawn[index] for index, _ in order(rule, scores)]
        return ranked + self.predicted

    @property
    def predicted(self) -> list[Member]:
        """The members that are the guide's prediction, because all their draws diverged."""
        return [member for member in self.drawn if member.predicted]

    @property
    def kept(self) -> list[Member]:
        """The first N of `ranked`."""
        return self.ranked[: self.sampling.keep]

    @property
    def record(self) -> dict[str, Any]:
        """What JSON lines and provenance state of all members together."""
        return {
            "model": dict(self.model.identity),
            "params": self.sampling.as_json(),
            "estimator": estimator_of(self.model),
        }

    def as_json(self) -> dict[str, Any]:
        """What JSON lines state of them."""
        members = [
            {
                "k": member.k,
                "rank": rank,
                "rank_by": self.sampling.rank,
                "seed": member.seed,
                "redraws": member.redraws,
                **({"predicted": member.predicted} if member.predicted else {}),
                **member.score.as_json(),
            }
            for rank, member in enumerate(self.ranked, 1)
        ]
        return {**self.record, "candidates": members}

    def file_of(
        self, members: Sequence[Member]
    ) -> tuple[Array, Field, int, list[int], dict[str, Any]]:
        """What `write_members` writes of some members, with provenance, which has no local path."""
        task = self.model.config.task
        seeds = [member.seed for member in members]
        record = {"schema": SCHEMA, "version": __version__, "task": task.name, **self.record}
        values = np.stack([member.values for member in members])
        return values, self.field, task.factor, seeds, {**record, "seeds": seeds}

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write all members into one file, in order of seed, with provenance: see `write_members`.

        Raises:
            CaflowError: (exit 2) the suffix is unknown, the file cannot hold the place of the
                field, or it exists and `overwrite` is false. (exit 1) it cannot be written.
        """
        path = Path(path)
        check_usage(overwrite or not exists(path), f"{str(path)!r} exists", "overwrite=True")
        write_members(path, *self.file_of(self.drawn))
        return path

    def to_xarray(self) -> xarray.DataArray:
        """All members as an array of xarray, with the refined coordinates of the coarse field."""
        return members_in_xarray(*self.file_of(self.drawn))


def restore_field(
    model: CAFlow, field: FieldLike, sampling: Sampling, progress: Progress | None = None
) -> Members:
    """Draw the members of a coarse field; arguments and errors as for `restore`.

    A member that diverged, or whose score is not finite, is the guide's prediction.
    """
    read = field_of(field, unit=values_of(model).unit)
    check_usage(sampling.rank != "consensus", "fields cannot be ranked by consensus", "--rank none")
    filled = sampling.of(model.config)
    m = filled.candidates or 1
    filled = replace(filled, rank=filled.rank or ("likelihood" if filled.keep < m else "none"))
    if filled.bf16:
        check_bf16(model.device)
    coarse = Coarse(model, read, filled.bf16, Steps(progress, total=m))  # a pass for each score
    seeds = [(filled.seed + k) % SEEDS for k in range(m)]
    members = []
    for k, (x, sample) in enumerate(coarse.draw(filled.temperature, seeds)):
        score = coarse.score(Field(x))
        predicted: list[Window] = []
        if sample.predicted or not score.is_finite:
            predicted = [(0, 0, *x.shape[::-1])]
            x = coarse.field_of(coarse.whole.predicted(0, filled.temperature))
            score = replace(score, log_likelihood=None)
        members.append(Member(x, k, seeds[k], sample.redraws, score, predicted))
    return Members(model, read, filled, members)
