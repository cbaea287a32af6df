"""Temperatures: one number for all latents, or a shape."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from .errors import EXIT_USAGE, CaflowError

__all__ = ["Tau", "Temperature"]

_SHAPE = "--tau 0.5, or a shape, --tau 0.9/0.7/0.5"


@dataclass(frozen=True)
class Temperature:
    """The standard deviation that latents are drawn with.

        z_j^i = tau_j^i ε,  ε ~ N(0, I)

    One value is for all latents. A shape is several: one for each scale j, finest first, or one for
    each z_j^i in the order of `CAFlow.latent_shapes`.

    Examples:
        >>> from caflow_cli.temperature import Temperature
        >>> shape = Temperature.of("0.9/0.7/0.5")
        >>> shape.of_latents([0, 1, 2, 1, 2, 2])  # the scales of the latents of n = 3
        (0.9, 0.7, 0.5, 0.7, 0.5, 0.5)
        >>> str(Temperature.of([0.9, 1]))
        '0.9/1'

    A value that is not finite, or below 0, is a CaflowError (exit 2).
    """

    values: tuple[float, ...]

    def __post_init__(self) -> None:
        for value in self.values:
            if not 0 <= value < math.inf:
                raise CaflowError(f"tau is {value}", "--tau 0.5, or any from 0 up", EXIT_USAGE)

    @classmethod
    def of(cls, given: Tau) -> Temperature:
        """A number, a text such as `0.9/0.7/0.5`, or numbers; else CaflowError (exit 2)."""
        if isinstance(given, Temperature):
            return given
        parts: Iterable[float | str] = given if isinstance(given, Sequence) else [given]
        try:
            values = tuple(map(float, given.split("/") if isinstance(given, str) else parts))
        except (TypeError, ValueError):
            values = ()
        if not values:
            raise CaflowError(f"tau is {given!r}", _SHAPE, EXIT_USAGE)
        return cls(values)

    def of_latents(self, scales: Sequence[int]) -> tuple[float, ...]:
        """One value for each latent of a model, whose scales are `FlowConfig.latent_scales`.

        A shape of a length that does not fit is a CaflowError (exit 2).
        """
        given, by_scale = len(self.values), max(scales) + 1
        if given == 1:
            return self.values * len(scales)
        if given == by_scale:
            return tuple(self.values[scale] for scale in scales)
        if given == len(scales):
            return self.values
        raise CaflowError(
            f"tau {self} has {given} values",
            f"--tau with 1, {by_scale} (one per scale, finest first) or {len(scales)} (one per "
            "latent)",
            EXIT_USAGE,
        )

    def as_json(self) -> list[float]:
        """Its values, as `of` reads them back."""
        return list(self.values)

    def __str__(self) -> str:
        """The text that `of` reads back."""
        return "/".join(repr(value).removesuffix(".0") for value in self.values)


Tau: TypeAlias = float | str | Sequence[float] | Temperature  # whatever `of` reads
