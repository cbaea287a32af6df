"""Temperatures: one number for all latents, or a shape."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from .errors import EXIT_USAGE, CaflowError

__all__ = ["Tau", "Temperature"]

_SHAPE = "--tau 0.5, or a shape, --tau 0.9/0.7/0.5"


@dataclass(frozen=True, eq=False)
class Temperature:
    """The standard deviation that latents are drawn with.

        z_j^i = tau_j^i ε,  ε ~ N(0, I)

    One value is for all latents. A shape is several: one for each scale j, finest first, or one for
    each z_j^i in the order of `CAFlow.latent_shapes`. A single value equals its number.

    Examples:
        >>> from caflow_cli.temperature import Temperature
        >>> shape = Temperature.of("0.9/0.7/0.5")
        >>> shape.of_latents([0, 1, 2, 1, 2, 2])  # the scales of the latents of n = 3
        (0.9, 0.7, 0.5, 0.7, 0.5, 0.5)
        >>> str(Temperature.of([0.9, 0.5])), Temperature.of(1) == 1.0
        ('0.9/0.5', True)

    Args:
        values: Finite, 0 or more.

    Raises:
        CaflowError: (exit 2) a value is out of range, or there is none.
    """

    values: tuple[float, ...]

    def __post_init__(self) -> None:
        for value in self.values:
            if not 0 <= value < math.inf:
                raise CaflowError(f"tau is {value}", "--tau 0.5, or any from 0 up", EXIT_USAGE)
        if not self.values:
            raise CaflowError("tau has no value", _SHAPE, EXIT_USAGE)

    @classmethod
    def of(cls, given: Tau) -> Temperature:
        """A number, a text such as `0.9/0.7/0.5`, or a sequence of numbers as a temperature.

        Raises:
            CaflowError: (exit 2) it is none.
        """
        if isinstance(given, Temperature):
            return given
        parts: Iterable[float | str]
        if isinstance(given, str):
            parts = given.split("/")
        else:
            parts = given if isinstance(given, Iterable) else [given]
        try:
            values = tuple(map(float, parts))
        except (TypeError, ValueError) as error:
            raise CaflowError(f"tau is {given!r}", _SHAPE, EXIT_USAGE) from error
        return cls(values)

    def of_latents(self, scales: Sequence[int]) -> tuple[float, ...]:
        """One value for each latent of a model.

        Args:
            scales: The scale of each latent, in their order, counted from the finest, 0
                (`FlowConfig.latent_scales`).

        Raises:
            CaflowError: (exit 2) a shape of a length that does not fit; the hint says which do.
        """
        given, by_scale = len(self.values), max(scales) + 1
        if given == 1:
            return self.values * len(scales)
        if given == by_scale:
            return tuple(self.values[scale] for scale in scales)
        if given == len(scales):
            return self.values
        fits = "one value for all latents"
        if by_scale > 1:
            fits = f"{fits}, {by_scale} (one value per scale, finest first)"
        if len(scales) > by_scale:
            fits = f"{fits} or {len(scales)} (one value per latent)"
        raise CaflowError(f"tau {self} has {given} values", f"--tau with {fits}", EXIT_USAGE)

    def as_json(self) -> list[float]:
        """Its values, as `of` reads them back."""
        return list(self.values)

    @property
    def least(self) -> float:
        """The smallest value."""
        return min(self.values)

    def __str__(self) -> str:
        """The text that `of` reads back."""
        return "/".join(map(_text, self.values))

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Temperature):
            return self.values == other.values
        return len(self.values) == 1 and self.values[0] == other

    def __hash__(self) -> int:
        return hash(self.values[0] if len(self.values) == 1 else self.values)


Tau: TypeAlias = float | str | Sequence[float] | Temperature  # whatever `of` reads


def _text(value: float) -> str:
    short = f"{value:g}"
    return short if float(short) == value else repr(value)
