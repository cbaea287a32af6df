"""The phases of a run: their loss, learning rate, learning parameters, and end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from torch import Tensor

from ..config import FlowConfig
from .config import OptimConfig
from .objective import Objective, anchor_density, whole_density
from .schedule import learning_rate

__all__ = ["GUIDE", "Phase", "Phases", "phases_of"]

GUIDE = "A.guide."  # begins the names of a guide's parameters


@dataclass(frozen=True)
class Phase:
    """A part of a run's budget in which some parameters learn from one loss.

    Attributes:
        name: A phrase for notes: "the guide alone reached 3.07 bits/dim; now all learn".
        objective: The loss.
        rate: The learning rate, as a function of steps in the phase, share of the phase spent, and
            epoch.
        share: A parameter's share of that rate, by its name and value. 0: it does not learn.
        begin: Share of the run's budget at which the phase begins.
        end: Share of the run's budget at which it ends.
        whole_model: Whether the loss is that of the whole model. Then actnorms are set when the
            phase begins, and the model is validated during the phase.
    """

    name: str
    objective: Objective
    rate: Callable[[int, float, int], float]
    share: Callable[[str, Tensor], float]
    begin: float
    end: float
    whole_model: bool

    @property
    def share_of_run(self) -> float:
        return self.end - self.begin

    def learns(self, name: str, parameter: Tensor) -> bool:
        return self.share(name, parameter) > 0


def phases_of(optim: OptimConfig, flow: FlowConfig) -> list[Phase]:
    """The phases that a config asks for, in order.

    A guide may learn alone first, with its own rate and schedule. Then everything learns, or
    everything but the guide.
    """
    together = Phase(
        name="all learn" if optim.guide_lr_share else "all else learns",
        objective=whole_density(optim.cond_weight),
        rate=partial(learning_rate, optim),
        share=partial(_share, optim),
        begin=optim.guide_first,
        end=1.0,
        whole_model=True,
    )
    if not flow.guides:
        return [together]
    own_schedule = replace(optim, schedule="cosine", lr=optim.guide_first_lr)
    alone = Phase(
        name="the guide alone",
        objective=anchor_density,
        rate=partial(learning_rate, own_schedule),
        share=lambda name, _: float(name.startswith(GUIDE)),
        begin=0.0,
        end=optim.guide_first,
        whole_model=False,
    )
    return [alone, together]


def _share(optim: OptimConfig, name: str, parameter: Tensor) -> float:
    """The share of the learning rate for a parameter when everything learns.

    A step of Adam moves every entry of a C×C matrix by about the rate, and the matrix's effect on a
    pixel by up to C times the rate. Wide 1×1 convolutions would limit the rate for all others, so
    their factors get `min(1, invconv_lr_width / C)` of it. With a width of 0 all get the whole
    rate.

    The guide is deep, and a change in one of its layers changes the input of all later ones. At the
    rate of the shallow nets in the flow steps, its weights would be replaced within a few steps. So
    it gets `guide_lr_share`.
    """
    if name.startswith(GUIDE):
        return optim.guide_lr_share
    if name.endswith("invconv.lu") and optim.invconv_lr_width > 0:
        return min(1.0, optim.invconv_lr_width / len(parameter))
    return 1.0


class Phases(Sequence[Phase]):
    """The phases of a run, and the current one.

    A run goes from one phase to the next and never back, even if a larger budget reduces the share
    of the budget that is spent.

    Args:
        phases: In order. A new run begins with the first phase of non-zero length.
    """

    def __init__(self, phases: Sequence[Phase]) -> None:
        self._phases = tuple(phases)
        self.number = next(n for n, phase in enumerate(phases) if phase.end > phase.begin)
        self._first_step = 0  # of the present phase

    def __getitem__(self, number: int) -> Phase:  # type: ignore[override]
        return self._phases[number]

    def __len__(self) -> int:
        return len(self._phases)

    @property
    def current(self) -> Phase:
        return self._phases[self.number]

    def current_ends(self, spent: float) -> bool:
        """Whether the next phase begins when this share of the run's budget is spent."""
        return self.number + 1 < len(self) and spent >= self.current.end

    def begin_next(self, step: int) -> None:
        """Begin the next phase after `step` steps of the run."""
        self.number += 1
        self._first_step = step

    def rate(self, step: int, spent: float, epoch: int) -> float:
        """The learning rate for the run's next step.

        Args:
            step: Number of steps that the run has made.
            spent: Share of the run's budget that is spent.
            epoch: How often all training pictures have been seen.
        """
        phase = self.current
        progress = (spent - phase.begin) / phase.share_of_run
        return phase.rate(step - self._first_step, progress, epoch)

    # A state names the phase by two fields. They tell the two phases of today apart: a third one
    # needs another field, with a default for the states of before.

    def record(self, step: int) -> dict[str, Any]:
        """The current phase, for a state that is written after `step` steps."""
        alone = not self.current.whole_model
        return {"guide_alone": alone, "guide_steps": step if alone else self._first_step}

    def restore(self, record: Mapping[str, Any]) -> None:
        """Go on in the phase that a state names."""
        alone = record.get("guide_alone", False)
        self.number = 0 if alone else len(self) - 1
        self._first_step = 0 if alone else record.get("guide_steps", 0)
