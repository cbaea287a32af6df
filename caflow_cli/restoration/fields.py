"""Ensembles of fields: members drawn for a coarse field, projected to its means, and scored."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from ..config import Temperature
from ..devices import check_bf16
from ..errors import check_usage, ensure
from ..fields import Array, Field, field_of, read_field
from ..fields.project import project, repeated
from ..fields.scale import check_range, check_unit, is_wet, points, to_scale, to_unit
from ..flows import noise_draws
from ..model import CAFlow, Condition, standard_error
from ..sampling import SEEDS, Sampling
from ..tasks import pad
from ..version import SCHEMA, __version__
from .conditions import RESAMPLES, Progress, Steps
from .rank import order
from .whole import Whole

FieldLike = Field | str | Path | Array

BOUND = (
    "mean over draws of log q(h) + sum over dry cells of log P(dry) - log N(h), + sum over wet "
    "cells of log S'(g) + log T'(x)"
)
_MOST = 2**24  # cells of a field, which is drawn in one pass of the model
_BATCH = 2**18  # cells of the members that are drawn together


@dataclass(frozen=True)
class FieldScore:
    """log p(x|c) of a field, a density in its unit to the power -wet.

    Fields with different numbers of wet cells are not comparable. Cells without a value are left
    out. An estimate from below, over fixed draws of the noise of dry cells and of steps.
    """

    log_likelihood: float  # nats
    standard_error: float | None  # of log_likelihood over the K draws, nats; None for K = 1
    unit: str
    wet: int  # number of wet cells
    dry: int
    noise_samples: int  # K

    @property
    def summary(self) -> str:
        """A text such as `-30881.2 nats in (mm/h)^-3120, 976 dry`."""
        return f"{self.log_likelihood:.1f} nats in ({self.unit})^-{self.wet}, {self.dry} dry"

    def as_json(self) -> dict[str, Any]:
        """All values but K, which the estimator states."""
        values = asdict(self)
        del values["noise_samples"]
        if self.standard_error is None:
            del values["standard_error"]
        return values


class Coarse:
    """A coarse field as a model reads it: on the model's scale, filled, padded, and encoded.

    Missing values are those of the nearest cell, and sides are padded by reflection, to multiples
    of what the model needs. This is what the guide reads; for the flows these cells are dry for
    sure, so that they take no part in scores.

    Args:
        model: A model of fields.
        field: The area means, in the model's unit.
        bf16: Draw with networks in bfloat16; scores stay float32.
        steps: Counts the passes of the model.

    Raises:
        CaflowError: The field has another unit, values outside the model's range, or too many
            cells.
    """

    def __init__(
        self, model: CAFlow, field: Field, bf16: bool = False, steps: Steps | None = None
    ) -> None:
        config = model.config
        assert config.task.values is not None, "a model of fields has their values"
        self.model = model
        self.field = field
        self.values = config.task.values
        self.factor = config.task.factor
        height, width = field.size
        self.size = self.factor * height, self.factor * width
        ensure(
            math.prod(self.size) <= _MOST,
            f"the model would draw {self.size[1]}×{self.size[0]} cells, more than {_MOST:,}",
            "crop the field into parts",
        )
        check_range(self.values, field)
        g = to_scale(self.values, field.values, self.factor**2)
        multiple = config.flow.multiple // math.gcd(config.flow.multiple, self.factor)
        filled = pad(_filled(g), multiple)
        self.padded = self.factor * filled.shape[0], self.factor * filled.shape[1]
        observed = np.zeros(filled.shape, bool)
        observed[:height, :width] = ~field.missing
        self._y = self._repeated(np.where(observed, filled, -np.inf))
        self._expected = model.expect(self._repeated(filled))
        self.whole = Whole(model, self._y, bf16, steps, self._expected)

    def _repeated(self, g: Array) -> Tensor:
        fine = repeated(g, self.factor)[None, None]
        return torch.from_numpy(fine).to(self.model.device, self.model.dtype)

    def draw(
        self, tau: Temperature, generators: Sequence[Generator]
    ) -> list[tuple[Array | None, int]]:
        """Draw a field from each generator, and count its resamples.

        It is float32 in the unit, with exact means; None if it diverged eleven times.
        """
        height, width = self.size
        drawn: list[tuple[Array | None, int]] = []
        for sample in self.whole.draw(tau, generators):
            x = None
            if sample.redraws <= RESAMPLES:
                x = self.projected(to_unit(self.values, sample.image[:height, :width, 0]))
            drawn.append((x, sample.redraws))
        return drawn

    def projected(self, x: Array) -> Array:
        """A field, (..., H, W), with exactly the means of this one."""
        zero = self.values.zero
        return project(x, self.field.values, None if zero is None else float(np.float32(zero)))

    def score(self, fine: Field, noise_samples: int = 1) -> FieldScore:
        """Score a field of as many times the cells, with the steps of its data.

        Raises:
            CaflowError: It has another size or unit.
        """
        height, width = self.size
        check_unit(self.values, fine, "the target")
        h, w = fine.size
        ensure(
            (h, w) == self.size,
            f"the target has {w}×{h} cells, the condition {width // self.factor}×"
            f"{height // self.factor}",
            f"give a target of {width}×{height}, {self.factor} times the condition",
        )
        x = np.full(self.padded, np.nan)
        x[:height, :width] = fine.values
        x[:height, :width][repeated(self.field.missing, self.factor)] = np.nan
        encoded = self._encoded(fine.missing)
        terms = []
        for noise in islice(noise_draws((1, *self.padded)), noise_samples):
            u = noise[0].double().numpy()
            v, slopes = points(self.values, x, u, fine.step, fine.step_in)
            _, log_prob = self.model.encode(torch.from_numpy(v)[None, None], encoded)
            self.whole.steps.step()
            terms.append(log_prob + float(slopes.sum()))
        together = torch.stack(terms)
        wet = int(is_wet(self.values, x).sum())
        return FieldScore(
            float(together.mean()),
            float(standard_error(together)) if noise_samples > 1 else None,
            self.values.unit,
            wet,
            int((~np.isnan(x)).sum()) - wet,
            noise_samples,
        )

    def _encoded(self, gaps: Array) -> Condition:
        """The condition without further cells, bool of the fine field's size."""
        gaps = gaps & ~repeated(self.field.missing, self.factor)
        if not gaps.any():
            return self.whole.encoded
        y = self._y.clone()
        y[0, 0, : gaps.shape[0], : gaps.shape[1]][torch.from_numpy(gaps)] = -math.inf
        return self.model.encode_condition(y, expected=self._expected)

    @property
    def wet_probability(self) -> Array:
        """P(wet) of every cell according to the guide, (H, W); 0 where no value is known."""
        marginals = self.whole.encoded.anchor.marginals  # type: ignore[union-attr]
        bound, _ = marginals.of(torch.zeros_like(marginals.location))
        height, width = self.size
        wet: Array = torch.special.ndtr(-bound.double())[0, 0, :height, :width].cpu().numpy()
        return wet


def _filled(g: Array) -> Array:
    """The field with the value of the nearest cell where it is missing."""
    missing = np.isnan(g)
    if not missing.any():
        return g
    from scipy.ndimage import distance_transform_edt  # here, because few fields need it

    places = distance_transform_edt(missing, return_distances=False, return_indices=True)
    result: Array = g[tuple(places)]
    return result


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

    @property
    def kept(self) -> list[Member]:
        """The best N members by likelihood; all M in order of seed if N is M.

        The likelihood prefers smooth members, and those with few wet cells in other units than with
        many: an ensemble is all of its members.
        """
        return [replace(self.drawn[index], rank=n, rank_value=v) for n, (index, v) in self._order]

    @property
    def _order(self) -> list[tuple[int, tuple[int, float | None]]]:
        rule = self.sampling.rank or "none"
        found = order(rule, [member.score.log_likelihood for member in self.drawn])
        return [*enumerate(found, 1)][: self.sampling.keep]

    @property
    def record(self) -> dict[str, Any]:
        """What JSON lines and provenance state of all members together."""
        k = self.drawn[0].score.noise_samples
        return {
            "model": dict(self.model.identity),
            "params": self.sampling.as_json(),
            "estimator": {"dequantization": "uniform", "noise_samples": k, "bound": BOUND},
        }

    def as_json(self) -> dict[str, Any]:
        """What JSON lines state of them."""
        members = [{"k": member.k, **member.record} for member in self.drawn]
        diverged = (self.sampling.candidates or 0) - len(members)
        return {
            **self.record,
            "candidates": members,
            **({"diverged": diverged} if diverged else {}),
        }

    def provenance(self) -> dict[str, Any]:
        """The provenance of a file with the kept members. It has no local path."""
        seeds = [member.seed for member in self.kept]
        task = self.model.config.task.name
        return {
            "schema": SCHEMA,
            "version": __version__,
            "task": task,
            **self.record,
            "seeds": seeds,
        }


def restore_field(
    model: CAFlow, field: FieldLike, sampling: Sampling, progress: Progress | None = None
) -> Members:
    """Draw the members of a coarse field; arguments and errors as for `restore`."""
    read = read_field(field) if isinstance(field, str | Path) else field_of(field)
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
                score = coarse.score(Field(values, field.unit))
                if math.isfinite(score.log_likelihood):
                    yield Member(values, k, seed, redraws, score)


def score_field(
    model: CAFlow, condition: FieldLike, target: FieldLike, noise_samples: int
) -> FieldScore:
    """Score a pair of fields; arguments and errors as for `score`."""
    pair = condition, target
    coarse, fine = (
        read_field(each) if isinstance(each, str | Path) else field_of(each) for each in pair
    )
    found = Coarse(model, coarse).score(fine, noise_samples)
    ensure(
        math.isfinite(found.log_likelihood),
        "the log-likelihood is not finite: the field is too unlike the training data",
        "try another field, or another --model",
    )
    return found
