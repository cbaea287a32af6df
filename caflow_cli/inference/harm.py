"""The warning that a model may make a picture worse than its baseline does."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from ..assets import ASSETS
from ..tasks import Picture
from .input_features import FEATURES, input_features

__all__ = ["Harm", "harm_of"]

_SPAN = 6.0  # deviations at which a feature is held, since no picture of the fit lay beyond


@dataclass(frozen=True)
class Harm:
    """A logistic rule on `input_features` of the input, for one model file.

    `.ci/harm` fits it on held-out pictures, shrunk cleanly and otherwise damaged. A picture counts
    as harmed if what the model makes of it has a higher LPIPS than the baseline's, or an RMSE of
    more than 1.1 times the baseline's.

    Attributes:
        baseline: What it is worse than.
        mean, deviation: Of the features.
        weights: Of the features, by `mean` and `deviation`, and of 1.
        threshold: The probability from which on there is a warning, so that four of five helped
            pictures are spared.
        flagged: Share of harmed pictures that the rule warned of, in cross-validation.
        spared: Share of helped pictures that it did not warn of.
    """

    baseline: str
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    weights: tuple[float, ...]
    threshold: float
    flagged: float
    spared: float

    def probability(self, image: Picture) -> float:
        """The probability that the model makes a picture worse than the baseline does, where the
        kinds of inputs are as frequent as in the fit.

        Args:
            image: The input, uint8 (H, W, 1 or 3).
        """
        z = (input_features(image) - np.array(self.mean)) / np.array(self.deviation)
        z = z.clip(-_SPAN, _SPAN)
        odds = float(np.array([*z, 1.0]) @ np.array(self.weights))
        return float(1 / (1 + np.exp(-np.clip(odds, -30, 30))))

    def warning(self, probability: float, id: str) -> str | None:
        """The warning of a picture, for people; None below the threshold.

        Args:
            probability: That of the picture.
            id: Of the model.
        """
        if probability < self.threshold:
            return None
        return (
            f"{round(100 * probability)} in 100 pictures like this one "
            f"come out worse from {id} than from {self.baseline}"
        )


def harm_of(sha256: str) -> Harm | None:
    """The rule of a model file, by its digest; None: it was not measured."""
    rule = _rules().get(sha256)
    return None if rule is None else Harm(**{k: _tuple(v) for k, v in rule.items() if k != "id"})


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


@cache
def _rules() -> dict[str, Any]:
    path = ASSETS / "harm.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if found["features"] != list(FEATURES):
        raise ValueError(f"{path.name} is of other features: .ci/harm fits it")
    return dict(found["models"])
