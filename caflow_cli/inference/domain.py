"""Whether a picture is of the kind that a model was trained on."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..devices import wide
from ..model import CAFlow, Condition

__all__ = ["Domain", "Statistics", "describe_domain", "statistics"]

Statistics = npt.NDArray[np.float64]  # (S,) of a condition, (B, S) of several
_BATCH = 50
_DIGITS = 5
_FAR = 1.15  # of the farthest reference picture


@dataclass(frozen=True)
class Domain:
    """The range of the statistics of reference conditions: those of a model's validation pictures.

    The distance of a condition is the root mean square of `(statistic - mean) / deviation`.
    """

    pictures: int
    farthest: float  # the largest distance of a reference picture
    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    def distance(self, values: Statistics) -> float:
        """The distance of a condition from the mean, in standard deviations a statistic."""
        z = (values - np.array(self.mean)) / np.array(self.deviation)
        return float(np.sqrt(np.square(z).mean()))

    def is_far(self, values: Statistics) -> bool:
        """Whether a condition is well beyond every reference picture.

        None is where the model has other statistics than the record of its file.
        """
        return len(values) == len(self.mean) and self.distance(values) > _FAR * self.farthest

    def to_record(self) -> dict[str, Any]:
        """The domain for the record of a model file; `from_record` reads it back."""
        return asdict(self)

    @classmethod
    def from_record(cls, record: Any) -> Domain | None:
        """Read a record; None where a file has none, or one that is not understood."""
        try:
            mean, deviation = (tuple(map(float, record[key])) for key in ("mean", "deviation"))
            known = cls(int(record["pictures"]), float(record["farthest"]), mean, deviation)
        except (KeyError, TypeError, ValueError, OverflowError):
            return None
        return known if len(mean) == len(deviation) and min(deviation, default=0) > 0 else None


def statistics(condition: Condition) -> Statistics:
    """Mean and log of the standard deviation, over space, of each channel of R(y): (B, S).

    They cost next to nothing: whoever samples or scores has R(y).
    """
    values: list[Tensor] = []
    for d in condition.d:
        d = wide(d)
        spread = d.var((2, 3), correction=0).clamp_min(1e-12).log() / 2
        values += [d.mean((2, 3)), spread]
    return torch.cat(values, 1).cpu().numpy()


def describe_domain(model: CAFlow, conditions: Tensor) -> Domain | None:
    """The domain of reference conditions, uint8 (B, C, H, W); None for fewer than two."""
    if len(conditions) < 2:
        return None
    parts = conditions.split(_BATCH)
    values = np.concatenate([statistics(model.encode_condition(part)) for part in parts])
    mean, deviation = values.mean(0), values.std(0, ddof=1).clip(min=1e-6)
    distances = np.sqrt(np.square((values - mean) / deviation).mean(1))
    return Domain(
        pictures=len(values),
        farthest=round(float(distances.max()), _DIGITS),
        mean=tuple(round(float(x), _DIGITS) for x in mean),
        deviation=tuple(max(round(float(x), _DIGITS), 10**-_DIGITS) for x in deviation),
    )
