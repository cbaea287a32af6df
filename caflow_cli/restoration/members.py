"""Ensembles of fields: the members that are drawn for a coarse field, and their files."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Generator

from ..devices import check_bf16
from ..errors import check_usage, ensure
from ..fields import (
    Along,
    Array,
    Field,
    field_of,
    members_in_xarray,
    read_field,
    write_members,
)
from ..model import CAFlow
from ..paths import exists
from ..sampling import SEEDS, Sampling
from ..version import SCHEMA, __version__
from .conditions import RESAMPLES, Progress, Steps
from .fields import Coarse, FieldLike, FieldScore, estimator_of_fields
from .rank import order

if TYPE_CHECKING:
    import xarray

_BATCH = 2**18  # cells of the members that are drawn together


@dataclass(frozen=True, eq=False)
class Member:
    """One sample: projected to the coarse field's means, rounded to float32, and scored."""

    values: Array  # (H, W) float32 in the unit, 0 where dry, NaN where missing
    k: int
    seed: int  # replays it: `--seed SEED -m 1`
    redraws: int  # how many samples diverged
    score: FieldScore
    rank: int = 0  # from 1
    rank_value: float | None = None

    @property
    def record(self) -> dict[str, Any]:
        """Its fields in JSON lines and provenance."""
        own = {"rank": self.rank, "seed": self.seed, "redraws": self.redraws}
        return {**own, **self.score.as_json()}


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
    drawn: Sequence[Member]  # in the order of k, without those that diverged

    def __repr__(self) -> str:
        unit = self.drawn[0].score.unit
        return f"<Members: {len(self.drawn)} fields in {unit} at τ {self.sampling.temperature}>"

    @property
    def values(self) -> Array:
        """All members in order of seed: (M, H, W), float32 in the unit."""
        return np.stack([member.values for member in self.drawn])

    @cached_property
    def ranked(self) -> list[Member]:
        """All members by likelihood; in order of seed if N is M.

        The likelihood prefers smooth members, and those with few wet cells in other units than with
        many: an ensemble is all of its members.
        """
        rule = self.sampling.rank or "none"
        scores = [member.score.log_likelihood for member in self.drawn]
        return [
            replace(self.drawn[index], rank=rank, rank_value=value)
            for rank, (index, value) in enumerate(order(rule, scores), 1)
        ]

    @property
    def kept(self) -> list[Member]:
        """The first N of `ranked`."""
        return self.ranked[: self.sampling.keep]

    @property
    def record(self) -> dict[str, Any]:
        """What JSON lines and provenance state of all members together."""
        k = self.drawn[0].score.draws
        return {
            "model": dict(self.model.identity),
            "params": self.sampling.as_json(),
            "estimator": estimator_of_fields(k),
        }

    def as_json(self) -> dict[str, Any]:
        """What JSON lines state of them."""
        members = [
            {"k": member.k, "rank_by": self.sampling.rank, **member.record}
            for member in self.ranked
        ]
        diverged = (self.sampling.candidates or 0) - len(members)
        return {
            **self.record,
            "candidates": members,
            **({"diverged": diverged} if diverged else {}),
        }

    def provenance(self, members: Sequence[Member]) -> dict[str, Any]:
        """The provenance of a file with these members. It has no local path."""
        seeds = [member.seed for member in members]
        task = self.model.config.task.name
        return {
            "schema": SCHEMA,
            "version": __version__,
            "task": task,
            **self.record,
            "seeds": seeds,
        }

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write all members into one file, in order of seed, with provenance: see `write_members`.

        Raises:
            CaflowError: (exit 2) the suffix is unknown, the file cannot hold the place of the
                field, or it exists and `overwrite` is false. (exit 1) it cannot be written.
        """
        path = Path(path)
        check_usage(overwrite or not exists(path), f"{str(path)!r} exists", "overwrite=True")
        factor = self.model.config.task.factor
        record = self.provenance(self.drawn)
        write_members(path, self.values, self.field, factor, self._along, record)
        return path

    def to_xarray(self) -> xarray.DataArray:
        """All members as an array of xarray, with the refined coordinates of the coarse field."""
        factor = self.model.config.task.factor
        record = self.provenance(self.drawn)
        return members_in_xarray(self.values, self.field, factor, self._along, record)

    @property
    def _along(self) -> Along:
        return "member", [member.seed for member in self.drawn]


def restore_field(
    model: CAFlow, field: FieldLike, sampling: Sampling, progress: Progress | None = None
) -> Members:
    """Draw the members of a coarse field; arguments and errors as for `restore`."""
    read = read_field(field) if isinstance(field, str | Path) else field_of(field)
    values = model.config.task.values
    if values is not None and not read.unit:
        read = replace(read, unit=values.unit)
    check_usage(sampling.rank != "consensus", "fields cannot be ranked by consensus", "--rank none")
    filled = sampling.of(model.config)
    few = filled.keep < (filled.candidates or 1)
    filled = replace(filled, rank=filled.rank or ("likelihood" if few else "none"))
    if filled.bf16:
        check_bf16(model.device)
    drawn = [*draw_members(model, read, filled, progress)]
    ensure(
        len(drawn) > 0,
        f"{RESAMPLES + 1} samples in a row diverged at tau {filled.temperature}",
        "a field more like the training data, or another --model",
    )
    return Members(model, read, filled, drawn)


def draw_members(
    model: CAFlow, field: Field, sampling: Sampling, progress: Progress | None = None
) -> Iterator[Member]:
    """Draw M members of a coarse field, in order of seed, as many at a time as fit well.

    A member that diverged, or whose score is not finite, is left out.

    Args:
        model: A model of fields.
        field: The coarse field.
        sampling: With all defaults filled in.
        progress: Called after each pass of the model.
    """
    count = sampling.candidates or 1
    steps = Steps(progress)
    coarse = Coarse(model, field, sampling.bf16, steps)
    at_a_time = max(1, _BATCH // math.prod(coarse.padded))
    steps.total = math.ceil(count / at_a_time) + count
    for first in range(0, count, at_a_time):
        ks = range(first, min(first + at_a_time, count))
        seeds = [(sampling.seed + k) % SEEDS for k in ks]
        generators = [Generator().manual_seed(seed) for seed in seeds]
        drawn = coarse.draw(sampling.temperature, generators)
        for k, seed, (values, redraws) in zip(ks, seeds, drawn, strict=True):
            if values is not None:
                score = coarse.score(coarse.member(values))
                if math.isfinite(score.log_likelihood):
                    yield Member(values, k, seed, redraws, score)
