"""Choose the default temperature of a trained model on validation images."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..config import FlowConfig, Temperature
from ..model import CAFlow
from ..records import Table
from ..restoration import task_of
from ..sampling import Sampling
from .metrics import Weights
from .metrics.pairs import LEAST_SIDE, computable
from .result import Evaluation
from .run import Progress, evaluate

_ROOM = 0.10  # how much the RMSE may exceed the lowest one, relative to it
RULE = f"the lowest lpips whose rmse is at most {_ROOM:.0%} above the least one"

_NUMBERS = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
# Shapes from one value at the finest scale to another at the coarsest, in equal steps.
_SLOPES = ((0.9, 0.5), (0.9, 0.7), (1.0, 0.6), (1.0, 0.8), (0.7, 0.9))
# Shapes with one value for z_i^i, i > 0, and another for all other latents.
_FIRST_AND_REST = ((0.9, 0.5), (0.9, 0.7), (1.0, 0.7))


def temperatures(flow: FlowConfig) -> list[Temperature]:
    """The temperatures to choose from, for a model of that architecture.

    They are the numbers 0.5, 0.6, ..., 1; shapes from one value at the finest scale to another at
    the coarsest, in equal steps; and shapes with one value for z_i^i, i > 0, and another for the
    rest. Models with one scale have no shapes; the last kind needs three scales, and an F_i with
    several latents.
    """
    scales = flow.latent_scales
    shapes: list[float | list[float]] = [*_NUMBERS]
    steps = max(scales)
    if steps:
        for fine, coarse in _SLOPES:
            shape = np.linspace(fine, coarse, steps + 1)
            shapes.append(shape.round(4).tolist())
    if steps > 1 and len(scales) > steps + 1:
        # The latents of each F_i begin with z_i^i and end at the coarsest scale.
        begins = [True, *(scale == steps for scale in scales[:-1])]
        begins[-1] = False
        for tau, rest in _FIRST_AND_REST:
            shapes.append([tau if first else rest for first in begins])
    return [Temperature.of(shape) for shape in shapes]


@dataclass(frozen=True)
class ChosenTemperature:
    """A temperature, and how single samples at it compare with the truth and the baseline."""

    tau: Temperature
    images: int  # how many were measured
    rmse: float | None  # in levels, mean over images; None: no valid samples
    lpips: float | None  # None: not measured, so tau is the model's own
    baseline: str  # name of the baseline
    baseline_rmse: float | None  # None: no baseline, as for a single pair
    baseline_lpips: float | None = None
    checkerboard: float | None = None  # of the samples; None: not measured

    def as_json(self) -> Table:
        """The record of the choice for the model's file."""
        return {
            "rule": RULE,
            "tau": self.tau.as_json(),
            "images": self.images,
            "split": "val",
            "rmse": self.rmse,
            "lpips": self.lpips,
        }


def choose_temperature(
    model: CAFlow,
    data: str | Path,
    *,
    limit: int = 20,
    weights: Weights | None = None,
    taus: Sequence[Temperature] = (),
    progress: Progress = lambda done, total: None,
) -> ChosenTemperature:
    """Choose a model's default temperature by single samples for validation images.

        argmin LPIPS(τ)  over  RMSE(τ) <= 1.1 min RMSE

    A sample has a larger RMSE than the mean: by a factor of √2 if samples are exact. The bound
    limits how much of that is traded for sharpness. Temperatures at which samples of an image
    diverged are excluded. Without LPIPS's network, or if images are too small for it, only RMSE
    is measured, and the model keeps its temperature. If the model was trained on degraded inputs
    (`task.degrade`), inputs are degraded in the same way, deterministically for each image.

    Args:
        model: Any model.
        data: Its training data; the half of `val/`, or of what its training held out, that chose
            its weights is used.
        limit: How many images to use; the first ones are taken.
        weights: The networks of metrics; only LPIPS is used.
        taus: The temperatures to choose from. Default: `temperatures`.
        progress: Called after each image.

    Raises:
        CaflowError: The data or the given weights cannot be used.
    """
    weights = weights or Weights()
    metrics: tuple[str, ...] = ("rmse",)
    if model.config.task.native or model.config.task.size >= LEAST_SIDE:
        found = computable(("rmse", "lpips", "checkerboard"), weights, asked=False)
        metrics = found.metrics
        if found.missing:  # a trunk that is named must exist
            raise found.missing["lpips"]
    default = Sampling().of(model.config).temperature
    tried = list(taus)
    if not tried:
        tried = temperatures(model.config.flow) if "lpips" in metrics else [default]
    evaluation = evaluate(
        model,
        data,
        metrics,
        split="choose",
        limit=limit,
        tau=tried,
        candidates=1,
        inputs=model.config.task.degrade,
        weights=weights,
        progress=progress,
    )
    return _chosen(evaluation, task_of(model).baseline, default)


def _chosen(evaluation: Evaluation, baseline: str, default: Temperature) -> ChosenTemperature:
    """Apply the rule to a sweep; without valid samples, the temperature is the default."""
    baseline_rmse = None
    baseline_lpips = None
    drawn = {}
    for result in evaluation.results:
        if result.cell is not None and not result.extra.get("predicted"):
            drawn[result.cell.tau] = result.values
        elif result.what == baseline:
            baseline_rmse = result.values["rmse"].mean
            if "lpips" in result.values:
                baseline_lpips = result.values["lpips"].mean
    if not drawn:
        return ChosenTemperature(default, 0, None, None, baseline, baseline_rmse, baseline_lpips)
    most = max(values["rmse"].count for values in drawn.values())
    rmse = {}
    lpips = {}
    grids = {}
    for tau, values in drawn.items():
        if values["rmse"].count == most:
            rmse[tau] = values["rmse"].mean
        if "lpips" in values:
            lpips[tau] = values["lpips"].mean
        if "checkerboard" in values:
            grids[tau] = values["checkerboard"].mean
    bound = (1 + _ROOM) * min(rmse.values())
    within = [tau for tau in rmse if rmse[tau] <= bound]
    tau = min(within, key=lambda tau: lpips.get(tau, 0.0))
    return ChosenTemperature(
        tau=tau,
        images=most,
        rmse=rmse[tau],
        lpips=lpips.get(tau),
        baseline=baseline,
        baseline_rmse=baseline_rmse,
        baseline_lpips=baseline_lpips,
        checkerboard=grids.get(tau),
    )
