"""The log-likelihood of a pair of images: the result of `score`, and what ranks candidates."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from ..errors import usage_error
from ..model import CAFlow
from ..sampling import Sampling
from ..tasks import Place, Task, get_task

_BOUNDS = {
    "uniform": "mean over draws of log p(w + u | y)",
    "variational": "log of the mean over draws of p(w + u | y) / q(u | w)",
}


class PartScore(NamedTuple):
    """The log-likelihood of one part, and its deviations over the K noise draws."""

    value: float
    deviations: Tensor | None  # (K,), see `CAFlow.estimate`; None in tiles


@dataclass(frozen=True)
class Score:
    """log p(w|y) of the reduced pair, on the 8-bit scale.

    A hole that is filled in parts has one pair per part. By the chain rule, the sum of their
    scores is the log-density of the whole fill, in the order of the parts. If a part is shrunk, its
    score covers only what the model reads, so the sum is not a log-likelihood. Nor is that of a
    pair too large for one pass: it is scored in tiles, which have no joint density.
    """

    # nats: log_likelihood, or the sum over tiles or parts; None for a candidate in tiles that was
    # not scored, because there was no other
    rank_score: float | None
    log_likelihood: float | None  # nats; None for tiles, and for several parts if one is shrunk
    bits_per_dim: float | None
    standard_error: float | None  # of log_likelihood over the K noise draws, nats; None for K = 1
    score_domain: str  # "image": the image itself; "reduced": padded or shrunk to model size;
    # "tiles": in overlapping tiles; "parts": the windows onto a hole
    scored_size: tuple[int, int]  # width and height of a scored part
    parts: tuple[Place, ...] = ()  # the windows onto a hole, in the order of filling
    known_values: int | None = None  # inpainting: scored values that the condition determines (only
    unknown_values: int | None = None  # their dequantization noise costs nats); and all others
    score_exact: bool = True  # whether the scored pixels are those that were written

    @property
    def summary(self) -> str:
        """A human-readable summary: `-30881.2 nats, 3.626 bits/dim`."""
        if self.rank_score is None:
            return "not scored"
        if self.log_likelihood is None or self.bits_per_dim is None:
            return f"rank score {self.rank_score:.1f} nats, in {self.score_domain}"
        return f"{self.log_likelihood:.1f} nats, {self.bits_per_dim:.3f} bits/dim"


def estimator_of(model: CAFlow, noise_samples: int) -> dict[str, str | int]:
    """How a model's log-likelihoods are estimated, as fields for JSON."""
    kind = model.config.flow.dequantization
    return {"dequantization": kind, "noise_samples": noise_samples, "bound": _BOUNDS[kind]}


def task_of(model: CAFlow, sampling: Sampling | None = None) -> Task:
    """The task that the model was trained for, with candidates consistent if `sampling` says so.

    Raises:
        CaflowError: (exit 2) `model` is a name or path, not a loaded model.
    """
    if isinstance(model, str | Path):
        raise usage_error(
            f"the model is {str(model)!r}, a name, not a loaded model",
            f"model = caflow_cli.load({str(model)!r})",
        )
    task = get_task(model.config)
    return task if sampling is None else task.made_consistent(sampling.consistent)
