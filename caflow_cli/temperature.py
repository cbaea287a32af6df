"""Temperatures: one number for all latents, or a shape."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from .errors import check_usage, usage_error


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
            fits = 0 <= value < math.inf
            check_usage(fits, f"tau is {value}", "--tau 0.5, or any from 0 up")

    @classmethod
    def of(cls, given: Tau) -> Temperature:
        """A number, a text such as `0.9/0.7/0.5`, or numbers; else CaflowError (exit 2)."""
        if isinstance(given, Temperature):
            return given
        parts: Any = given.split("/") if isinstance(given, str) else given
        try:
            values = tuple(map(float, parts if isinstance(parts, Sequence) else [parts]))
        except (TypeError, ValueError):
            values = ()
        hint = "--tau 0.5, or a shape, --tau 0.9/0.7/0.5"
        check_usage(bool(values), f"tau is {given!r}", hint)
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
        raise usage_error(
            f"tau {self} has {given} values",
            f"--tau with 1, {by_scale} (one per scale, finest first) or {len(scales)} (one per "
            "latent)",
        )

    def as_json(self) -> list[float]:
        return list(self.values)

    def __str__(self) -> str:
        return "/".join(repr(value).removesuffix(".0") for value in self.values)


Tau: TypeAlias = float | str | Sequence[float] | Temperature  # whatever `of` reads
