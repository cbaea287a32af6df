"""The phases of a run: their loss, learning rate, learning parameters, and end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from torch import Tensor

from ..config import FlowConfig
from ..errors import EXIT_USAGE, CaflowError
from .config import OptimConfig, SamplesConfig
from .objective import (
    DrawnLosses,
    Objective,
    Perceptual,
    anchor_density,
    density_and_draws,
    losses_of_draws,
    meant_picture,
    picture_loss,
    whole_density,
)
from .schedule import learning_rate

__all__ = ["GUIDE", "Phase", "Phases", "learns_by_l1_alone", "phases_of", "wants_perceptual"]

GUIDE = "A.guide."  # begins the names of a guide's parameters
_NO_SAMPLES = SamplesConfig()


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
        unit: The unit of the loss.
        draws: The losses of draws that are a part of it, if any are,
        weight: times this.
    """

    name: str
    objective: Objective
    rate: Callable[[int, float, int], float]
    share: Callable[[str, Tensor], float]
    begin: float
    end: float
    whole_model: bool
    unit: str = "bits/dim"
    draws: DrawnLosses | None = None
    weight: float = 0.0

    @property
    def share_of_run(self) -> float:
        return self.end - self.begin

    def learns(self, name: str, parameter: Tensor) -> bool:
        return self.share(name, parameter) > 0


def wants_perceptual(
    optim: OptimConfig, flow: FlowConfig, samples: SamplesConfig = _NO_SAMPLES
) -> bool:
    """Whether a phase of the run learns from a perceptual distance."""
    of_guide = _taught_by_pictures(optim, flow) and optim.guide_perceptual > 0
    return of_guide or (samples.share > 0 and samples.perceptual > 0)


def learns_by_l1_alone(optim: OptimConfig, flow: FlowConfig) -> bool:
    """Whether a guide learns from pictures, but not from how they look."""
    return _taught_by_pictures(optim, flow) and optim.guide_perceptual == 0


def _taught_by_pictures(optim: OptimConfig, flow: FlowConfig) -> bool:
    return bool(flow.guides) and optim.guide_first > 0 and optim.guide_loss == "picture"


def phases_of(
    optim: OptimConfig,
    flow: FlowConfig,
    perceptual: Perceptual | None = None,
    samples: SamplesConfig = _NO_SAMPLES,
) -> list[Phase]:
    """The phases that a config asks for, in order.

    A guide may learn alone first, with its own rate and schedule: by likelihood, or by the picture
    that it means. That picture is taught by L1 at first, and then by how it looks as well. Then
    everything learns, or everything but the guide. At last what is drawn may teach it, too.

    Args:
        optim, flow, samples: The run's settings.
        perceptual: The distance that `wants_perceptual` asks for.
    """
    own = _before_samples(optim, flow, perceptual, samples)
    if samples.share == 0:
        return own
    looks = perceptual if samples.perceptual else None
    pictures = picture_loss(looks, samples.perceptual, samples.lattice)
    draws, together = losses_of_draws(pictures, samples.tau), own[-1]
    taught = replace(
        together,
        name=f"{together.name} from draws, too,",
        objective=density_and_draws(optim.cond_weight, samples.weight, draws),
        rate=partial(learning_rate, _own_schedule(optim, samples.lr)),
        begin=together.end,
        end=1.0,
        draws=draws,
        weight=samples.weight,
    )
    return [*own, taught]


def _before_samples(
    optim: OptimConfig, flow: FlowConfig, perceptual: Perceptual | None, samples: SamplesConfig
) -> list[Phase]:
    together = Phase(
        name="all learn" if optim.guide_lr_share else "all else learns",
        objective=whole_density(optim.cond_weight),
        rate=partial(learning_rate, optim),
        share=partial(_share, optim),
        begin=optim.guide_first,
        end=1.0 - samples.share,
        whole_model=True,
    )
    if not flow.guides:
        return [together]
    alone = Phase(
        name="the guide alone",
        objective=anchor_density,
        rate=partial(learning_rate, _own_schedule(optim, optim.guide_first_lr)),
        share=lambda name, _: float(name.startswith(GUIDE)),
        begin=0.0,
        end=optim.guide_first,
        whole_model=False,
    )
    if optim.guide_loss == "likelihood":
        return [alone, together]
    near = replace(alone, objective=meant_picture(picture_loss()), unit="L1")
    if optim.guide_perceptual == 0 or optim.guide_first == 0:
        return [near, together]
    middle = optim.guide_first * optim.guide_perceptual_from
    alike = replace(
        alone,
        name="the guide alone, by how its pictures look,",
        objective=meant_picture(
            picture_loss(perceptual, optim.guide_perceptual, optim.guide_lattice)
        ),
        # Behind the first cosine: half of its rate.
        rate=partial(learning_rate, _own_schedule(optim, optim.guide_first_lr / 2)),
        begin=middle,
        unit="L1 and LPIPS",
    )
    return [replace(near, end=middle), alike, together]


def _own_schedule(optim: OptimConfig, peak: float) -> OptimConfig:
    return replace(optim, schedule="cosine", lr=peak)


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
        """Begin the next phase of non-zero length after `step` steps of the run."""
        self.number += 1
        while self.current.share_of_run == 0 and self.number + 1 < len(self):
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

    def record(self) -> dict[str, Any]:
        """The current phase, for a state."""
        return {"phase": self.number, "phase_began_at": self._first_step}

    def restore(self, record: Mapping[str, Any]) -> None:
        """Go on in the phase that a state names; those of 0.1.0 knew two, and other words.

        Raises:
            CaflowError: (exit 2) there is no such phase.
        """
        alone = record.get("guide_alone", False)
        number = record.get("phase", 0 if alone else len(self) - 1)
        if not 0 <= number < len(self):
            raise CaflowError(
                f"the state is of phase {number + 1}, and this config has {len(self)}",
                "go on with the config.toml that the run wrote as it began",
                EXIT_USAGE,
            )
        self.number = number
        old = 0 if alone else record.get("guide_steps", 0)
        self._first_step = record.get("phase_began_at", old)
