"""The search for a model's temperature: what is tried, and the rule that chooses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..config import FlowConfig
from ..errors import CaflowError
from ..temperature import Temperature

if TYPE_CHECKING:
    from .estimates import Estimate
    from .result import Result

__all__ = ["METRICS_OF_SEARCH", "RMSE_ROOM", "TemperatureChoice", "choose_temperature", "searched"]

METRICS_OF_SEARCH = ("rmse", "lpips")
RMSE_ROOM = 0.10  # by how much the RMSE may be above the least one of the search

_NUMBERS = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
# From the finest scale to the coarsest, in equal steps.
_SLOPES = ((0.9, 0.5), (0.9, 0.7), (1.0, 0.6), (1.0, 0.8), (0.7, 0.9))
# Of z_i^i for i > 0, and of all others.
_OWN_AND_REST = ((0.9, 0.5), (0.9, 0.7), (1.0, 0.7))


def searched(flow: FlowConfig) -> list[Temperature]:
    """The temperatures that are tried, for a model of that architecture.

    They are the numbers 0.5, 0.6, ..., 1; shapes that go from one value at the finest scale to
    another at the coarsest in equal steps; and shapes of one value for z_i^i, i > 0, and another
    for the rest. A model of one scale has no shapes; those of the last kind need three, and F_i of
    several latents.

    Examples:
        >>> from caflow_cli.config import FlowConfig
        >>> from caflow_cli.evaluation.temperature_search import searched
        >>> tried = searched(FlowConfig(scales=3))
        >>> len(tried), str(tried[6]), str(tried[-1])
        (14, '0.9/0.7/0.5', '1/0.7/0.7/1/0.7/0.7')
    """
    scales = flow.latent_scales
    found = [Temperature.of(number) for number in _NUMBERS]
    steps = max(scales)
    if steps:
        for fine, coarse in _SLOPES:
            values = [fine + (coarse - fine) * step / steps for step in range(steps + 1)]
            found.append(Temperature.of([round(value, 4) for value in values]))
    if steps > 1 and len(scales) > steps + 1:
        # The latents of each F_i begin with z_i^i and end at the coarsest scale.
        own = [not place or scales[place - 1] == steps for place in range(len(scales))]
        own[-1] = False
        for first, rest in _OWN_AND_REST:
            found.append(Temperature.of([first if is_own else rest for is_own in own]))
    return found


@dataclass(frozen=True)
class TemperatureChoice:
    """The temperature that the rule chooses, and why."""

    tau: Temperature
    rmse: Estimate
    lpips: Estimate
    least_rmse: float  # of the search
    candidates: int  # M of the search, of which
    keep: int  # so many were measured

    @property
    def rule(self) -> str:
        """The rule, in words."""
        return f"the lowest lpips whose rmse is at most {RMSE_ROOM:.0%} above the least one"

    def as_json(self) -> dict[str, Any]:
        return {
            "rule": self.rule,
            "tau": self.tau.as_json(),
            "pictures": self.lpips.count,
            "candidates": self.candidates,
            "keep": self.keep,
            "rmse": self.rmse.as_json(),
            "lpips": self.lpips.as_json(),
            "rmse_at_most": self.least_rmse * (1 + RMSE_ROOM),
        }

    def __str__(self) -> str:
        return (
            f"--tau {self.tau}: {self.rule} ({self.least_rmse:.2f}); "
            f"rmse {self.rmse.mean:.2f}, lpips {self.lpips.mean:.4f}"
        )


def choose_temperature(results: Sequence[Result]) -> TemperatureChoice:
    """The temperature with the lowest LPIPS among those whose RMSE is at most `RMSE_ROOM` above
    the least RMSE of them all; of equals the one with less RMSE, then the first. A temperature that
    was measured on fewer pictures than others, because draws ran away, does not count.

        argmin LPIPS(τ)  over  RMSE(τ) <= (1 + room) min RMSE

    A draw is farther from the truth than a mean is: by a factor of √2 for exact draws. The bound
    says how much of that may be spent on sharpness, and does not depend on what was the default.

    Args:
        results: Rows of an evaluation; those of a model with both metrics count.

    Raises:
        CaflowError: There is none.
    """
    tried = [
        (row.values["rmse"], row.values["lpips"], row.cell)
        for row in results
        if row.what == "model" and row.cell is not None and {"rmse", "lpips"} <= row.values.keys()
    ]
    if not tried:
        raise CaflowError("no temperature was measured", "--metric rmse,lpips")
    pictures = max(rmse.count for rmse, _, _ in tried)
    tried = [one for one in tried if one[0].count == pictures]
    least = min(rmse.mean for rmse, _, _ in tried)
    fit = [one for one in tried if one[0].mean <= (1 + RMSE_ROOM) * least]
    rmse, lpips, cell = min(fit, key=lambda one: (one[1].mean, one[0].mean))
    return TemperatureChoice(cell.tau, rmse, lpips, least, cell.m, cell.n)
