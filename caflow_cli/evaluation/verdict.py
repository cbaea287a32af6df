"""Whether a trained model is of use: its draws beside what can be had without it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..data import Split, open_split
from ..errors import EXIT_FAILED, CaflowError
from ..inference.restore import restore_with
from ..inference.score import task_of
from ..model import CAFlow
from ..sampling import Sampling
from ..tasks import Picture
from ..temperature import Temperature
from .examples import make_example, restore_simply, side_of
from .protocols import BASELINES

__all__ = ["Verdict", "against_baseline"]

_MOST = 20  # pictures


@dataclass(frozen=True)
class Verdict:
    """RMSE to the truth, mean over pictures, in levels: of one draw, and of the baseline."""

    pictures: int
    tau: Temperature
    rmse: float | None  # None: there are pictures of which no draw is sound
    baseline: str
    baseline_rmse: float

    @property
    def useful(self) -> bool:
        """Whether the draws are nearer to the truths."""
        return self.rmse is not None and self.rmse < self.baseline_rmse


def against_baseline(
    model: CAFlow, data: str | Path, split: Split = "val", limit: int = _MOST, seed: int = 0
) -> Verdict | None:
    """Draw once for each picture, at the model's own τ, and compare with the task's baseline.

    Args:
        model: Of any task. None comes back for a single pair, which has no baseline.
        data: What `open_split` takes.
        split: Which part of it.
        limit: The first so many pictures, but at most 20. A run held out no more of a stream than
            its `validation_images`.
        seed: Of the split, as of the run that learned from the rest.
    """
    task = task_of(model)
    sampling = Sampling(candidates=1).of(model.config)
    drawn: list[float] = []
    given: list[float] = []
    side, paired = side_of(model.config.task), not task.derives_condition
    limit = min(limit, _MOST)
    with open_split(data, split, side, paired=paired, seed=seed, limit=limit) as reader:
        for row in range(min(limit, len(reader.names))):
            problem = make_example(task, reader, row)
            image = restore_simply(BASELINES[task.name], problem)
            if image is None:
                return None
            given.append(_rmse(image, problem.truth))
            try:
                found = restore_with(model, problem.input, sampling, problem.mask)
            except CaflowError as error:
                if error.exit_code != EXIT_FAILED:
                    raise
                continue
            drawn.append(_rmse(found.ranked[0].image, problem.truth))
    return Verdict(
        pictures=len(given),
        tau=sampling.temperature,
        rmse=float(np.mean(drawn)) if len(drawn) == len(given) else None,
        baseline=BASELINES[task.name],
        baseline_rmse=float(np.mean(given)),
    )


def _rmse(x: Picture, y: Picture) -> float:
    return float(np.sqrt(np.square(x.astype(np.float64) - y).mean()))
