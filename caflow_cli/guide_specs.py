"""What config, flows, model, training and export must know of each guide's network, without torch.

`guides/NAME.py` builds the network of the guide NAME. Its spec here describes the rest, so that no
other module compares names.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from .records import Constraint


@dataclass(frozen=True)
class GuideSpec:
    """The description of a guide's network."""

    # How many widths `flow.guide` may have, for a network at the size of the small image that the
    # condition was enlarged from; each but the first is for half the resolution of the one before.
    # Empty: n + 1, at 1/2, 1/4, ... 2^-(n+1) of the condition's resolution.
    widths: tuple[int, ...] = ()
    # Whether its input is that small image, with white at 1, which `recover_small` gets from the
    # condition. If not, it is the condition, as the anchor's map completes it.
    reads_small: bool = False
    # Whether it only enlarges, by the factor of the task: the anchor must be `enlarged`, and the
    # network can be exported.
    enlarges: bool = False
    otherwise: str = "none"  # if so, its replacement in presets for factors that are no power of 2
    least_factor: int = 2
    channels: int = 0  # of the condition, if it has to have so many
    normalizes: bool = False  # over the whole image, so that tiles need the moments of the image
    # Whether it predicts the distribution of every cell of a field, for the anchor `field`.
    of_field: bool = False
    # Whether it reads differences of values alone, as a scale with `relative` values needs.
    relative: bool = False
    trains: bool = True  # False: a network of another project, frozen, with its own tensors
    rate: float = 2e-3  # default peak learning rate
    perceptual: float = 2.0  # default weight of LPIPS in its loss

    def counts(self, scales: int) -> tuple[int, ...]:
        """The numbers of widths that a model of n scales can have."""
        return self.widths or (scales + 1,)


GUIDES = {
    "none": GuideSpec(),
    # Rates above 0.001 are untested.
    "unet": GuideSpec(normalizes=True, rate=7e-4),
    "resunet": GuideSpec(rate=7e-4),
    "enlarge": GuideSpec(widths=(1, 3)),
    # It learns the mean of p(w|y) by L1 alone: LPIPS would move it away, which costs fidelity,
    # likelihood and calibration.
    "compact": GuideSpec(
        widths=(1,),
        reads_small=True,
        enlarges=True,
        otherwise="enlarge",
        rate=1e-3,
        perceptual=0.0,
    ),
    "censored": GuideSpec(widths=(1,), channels=2, of_field=True, rate=1.5e-3, perceptual=0.0),
    "relief": GuideSpec(
        widths=(1,), channels=2, of_field=True, relative=True, rate=1.5e-3, perceptual=0.0
    ),
    # Its one width is 1, whatever the network is.
    "external": GuideSpec(widths=(1,), reads_small=True, least_factor=1, channels=3, trains=False),
}
GuideName = Annotated[str, Constraint(lambda name: name in GUIDES, " or ".join(GUIDES))]
