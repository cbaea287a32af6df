"""Phases of a run: which loss, which learning rate, which parameters learn, and until when."""

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
        objective: Computes the loss.
        rate: Learning rate by steps made in the phase, share of the phase spent, and epoch.
        share: Share of that rate for a parameter, by its name and value; 0: it does not learn.
        begin: Share of the run's budget at which the phase begins.
        end: Share of the run's budget at which it ends.
        whole_model: Whether the loss is of the whole model. Then actnorms are set as the phase
            begins, and the model is validated on the way.
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

    A guide may learn alone first, at a rate and by a schedule of its own. Then all learn, or all
    but the guide.
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
    """The share of the learning rate that a parameter gets where all learn.

    A step of Adam moves every entry of a C×C matrix by about the rate, and what the matrix does to
    a pixel by up to C times the rate. So that wide 1×1 convolutions do not set the limit for all
    others, their factors get `min(1, invconv_lr_width / C)` of it. With a width of 0 all get the
    whole rate.

    The guide is deep, and each of its layers reads what the one before has become: at a rate that
    suits the shallow nets of the flow steps, its weights would be replaced within a few steps. It
    gets `guide_lr_share`.
    """
    if name.startswith(GUIDE):
        return optim.guide_lr_share
    if name.endswith("invconv.lu") and optim.invconv_lr_width > 0:
        return min(1.0, optim.invconv_lr_width / len(parameter))
    return 1.0


class Phases(Sequence[Phase]):
    """The phases of a run, and which one it is in.

    A run goes from one to the next and never back: with a larger budget the share that a past phase
    has had becomes smaller, but what it taught is taught.

    Args:
        phases: In order. A new run begins with the first that takes any time.
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
        """Whether another phase begins where that share of the run's budget is spent."""
        return self.number + 1 < len(self) and spent >= self.current.end

    def begin_next(self, step: int) -> None:
        """Begin the next phase, after so many steps of the run."""
        self.number += 1
        self._first_step = step

    def rate(self, step: int, spent: float, epoch: int) -> float:
        """The learning rate of the run's next step.

        Args:
            step: Steps that the run has made.
            spent: Share of the run's budget that is spent.
            epoch: How often all training pictures have been seen.
        """
        phase = self.current
        progress = (spent - phase.begin) / phase.share_of_run
        return phase.rate(step - self._first_step, progress, epoch)

    # A state names the phase by two fields. They tell the two phases of today apart: a third one
    # needs another field, with a default for the states of before.

    def record(self, step: int) -> dict[str, Any]:
        """The phase, for a state that is written after so many steps of the run."""
        alone = not self.current.whole_model
        return {"guide_alone": alone, "guide_steps": step if alone else self._first_step}

    def restore(self, record: Mapping[str, Any]) -> None:
        """Go on in the phase that a state names."""
        alone = record.get("guide_alone", False)
        self.number = 0 if alone else len(self) - 1
        self._first_step = 0 if alone else record.get("guide_steps", 0)
