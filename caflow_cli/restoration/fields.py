"""A coarse field as a model reads it, for which fields are drawn, projected and scored."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from ..config import Temperature, Values
from ..errors import ensure
from ..fields import Array, Field, field_of
from ..fields.project import project, repeated
from ..fields.scale import check_range, check_unit, is_wet, points, to_scale, to_unit
from ..flows import noise_draws
from ..model import CAFlow, standard_error
from ..sampling import SEEDS
from ..tasks import pad
from .conditions import Sample, Steps
from .whole import Whole

FieldLike = Field | str | Path | Array

_MOST = 2**24  # cells of a field, which is drawn in one pass of the model
_BATCH = 2**18  # cells of the members that are drawn together


@dataclass(frozen=True)
class FieldScore:
    """log p(x|c) of a field, a density in its unit to the power -wet.

    Fields with different numbers of wet cells are not comparable. Cells without a value are left
    out. An estimate from below, over fixed draws of the noise of dry cells and of steps.
    """

    log_likelihood: float | None  # nats; None for a member that is the guide's prediction
    standard_error: float | None  # of log_likelihood over the K draws, nats; None for K = 1
    unit: str
    wet: int  # number of wet cells
    dry: int

    @property
    def summary(self) -> str:
        """A text such as `-30881.2 nats in (mm/h)^-3120, 976 dry`."""
        if self.log_likelihood is None:
            return "not scored"
        return f"{self.log_likelihood:.1f} nats in ({self.unit})^-{self.wet}, {self.dry} dry"

    @property
    def is_finite(self) -> bool:
        return self.log_likelihood is not None and math.isfinite(self.log_likelihood)

    def as_json(self) -> dict[str, Any]:
        """All values, without a standard error that is None."""
        values = dict(vars(self))
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
        self.model = model
        self.field = field
        self.values = values_of(model)
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
        beyond = filled.shape[0] - height, filled.shape[1] - width
        observed = np.pad(~field.missing, [(0, side) for side in beyond])
        self._y = self._repeated(np.where(observed, filled, -np.inf))
        self._expected = model.expect(self._repeated(filled))
        self.whole = Whole(model, self._y, bf16, steps, self._expected)

    def _repeated(self, g: Array) -> Tensor:
        fine = repeated(g, self.factor)[None, None]
        return torch.from_numpy(fine).to(self.model.device, self.model.dtype)

    def draw(self, tau: Temperature, seeds: Sequence[int]) -> Iterator[tuple[Array, Sample]]:
        """Draw a field from each seed, as many at a time as fit well: float32 in the unit, with
        exact means, and the sample that it is made of.
        """
        at_a_time = max(1, _BATCH // math.prod(self.padded))
        self.whole.steps.total += math.ceil(len(seeds) / at_a_time)
        for first in range(0, len(seeds), at_a_time):
            some = seeds[first : first + at_a_time]
            generators = [Generator().manual_seed(seed % SEEDS) for seed in some]
            for sample in self.whole.draw(tau, generators):
                yield self.field_of(sample), sample

    def field_of(self, sample: Sample) -> Array:
        """A sample as a field in the unit, with exact means."""
        height, width = self.size
        return self.projected(to_unit(self.values, sample.image[:height, :width, 0]))

    def projected(self, x: Array) -> Array:
        """A field, (..., H, W), with exactly the means of this one."""
        zero = None if self.values.zero is None else float(np.float32(self.values.zero))
        return project(x, self.field.values, zero)

    def score(self, fine: Field, draws: int = 1) -> FieldScore:
        """Score a field of as many times the cells, with the steps of its data.

        Raises:
            CaflowError: It has another size or unit.
        """
        x = self._known(fine)
        encoded = self.whole.encoded
        y = self._y.masked_fill(torch.from_numpy(np.isnan(x)).to(self._y.device), -math.inf)
        if not y.equal(self._y):  # values are missing that the condition has
            encoded = self.model.encode_condition(y, expected=self._expected)
        terms = []
        for noise in islice(noise_draws((1, *self.padded)), draws):
            u = noise[0].double().numpy()
            v, slopes = points(self.values, x, u, fine.step, fine.step_in)
            log_prob = self.model.log_prob(torch.from_numpy(v)[None, None], encoded)
            self.whole.steps.step()
            terms.append(log_prob + float(slopes.sum()))
        together = torch.stack(terms)
        wet = int(is_wet(self.values, x).sum())
        return FieldScore(
            float(together.mean()),
            float(standard_error(together)) if draws > 1 else None,
            self.values.unit,
            wet,
            int((~np.isnan(x)).sum()) - wet,
        )

    def _known(self, fine: Field) -> Array:
        """The values that are scored, of the padded size; NaN elsewhere."""
        check_unit(self.values, fine, "the target")
        height, width = self.size
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
        return x

    @property
    def wet_probability(self) -> Array:
        """P(wet) of every cell according to the guide, (H, W)."""
        if self.values.zero is None:
            return np.ones(self.size)
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


def values_of(model: CAFlow) -> Values:
    """The values of a model of fields."""
    values = model.config.task.values
    assert values is not None, "a model of fields has their values"
    return values


def score_field(model: CAFlow, condition: FieldLike, target: FieldLike, draws: int) -> FieldScore:
    """Score a pair of fields; arguments and errors as for `score`."""
    found = Coarse(model, field_of(condition)).score(field_of(target), draws)
    ensure(
        found.is_finite,
        "the log-likelihood is not finite: the field is too unlike the training data",
        "try another field, or another --model",
    )
    return found
