"""The temperature of samples: one value, or one per scale or latent."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias

from .errors import check_usage, usage_error
from .records import Parsed, plain

_AUTO = "auto"


@dataclass(frozen=True)
class Temperature:
    """The standard deviation of the latents of a sample.

        z_j^i = tau_j^i ε,  ε ~ N(0, I)

    A single value applies to all latents. A shape has several values: one for each scale j, finest
    first, or one for each z_j^i in the order of `CAFlow.latent_shapes`. No value stands for "auto":
    they are chosen from the input, see `restoration.chosen`.

    Examples:
        >>> from caflow_cli.config import Temperature
        >>> shape = Temperature.of("0.9/0.7/0.5")
        >>> shape.of_latents([0, 1, 2, 1, 2, 2])  # the scales of the latents of n = 3
        (0.9, 0.7, 0.5, 0.7, 0.5, 0.5)
        >>> str(Temperature.of([0.9, 1]))
        '0.9/1'

    A value that is negative or not finite raises CaflowError (exit 2).
    """

    values: tuple[float, ...]

    @property
    def is_auto(self) -> bool:
        """Whether the values are still to be chosen from the input."""
        return not self.values

    def __post_init__(self) -> None:
        for value in self.values:
            check_usage(
                0 <= value < math.inf, f"tau is {value}", "--tau 0.5, or any number from 0 up"
            )

    @classmethod
    def of(cls, tau: Tau) -> Temperature:
        """Parse a number, `auto`, a text such as `0.9/0.7/0.5`, or numbers; else CaflowError (exit
        2)."""
        if isinstance(tau, Temperature):
            return tau
        if isinstance(tau, str) and tau == _AUTO:
            return cls(())
        parts: Any = tau.split("/") if isinstance(tau, str) else plain(tau)
        parts = parts if isinstance(parts, Sequence) else [parts]
        values: tuple[float, ...] = ()
        with suppress(TypeError, ValueError):
            values = tuple(map(float, parts))
        check_usage(
            bool(values) and not any(isinstance(part, bool) for part in parts),
            f"tau is {tau!r}",
            "--tau 0.5, or a shape, --tau 0.9/0.7/0.5",
        )
        return cls(values)

    def of_latents(self, scales: Sequence[int]) -> tuple[float, ...]:
        """The value for each latent of a model, given its `FlowConfig.latent_scales`.

        Raises CaflowError (exit 2) if the number of values does not fit the model.
        """
        check_usage(
            not self.is_auto,
            "tau is auto, which is chosen from a field of rain",
            "--tau 0.5, or any number from 0 up",
        )
        count = len(self.values)
        by_scale = max(scales) + 1
        if count == 1:
            return self.values * len(scales)
        if count == by_scale:
            return tuple(self.values[scale] for scale in scales)
        if count == len(scales):
            return self.values
        per_scale = f"{by_scale} (one per scale, finest first)" if by_scale > 1 else ""
        per_latent = f"{len(scales)} (one per latent)" if len(scales) > by_scale else ""
        *most, last = filter(None, ("1", per_scale, per_latent))
        hint = f"{', '.join(most)} or {last}" if most else last
        raise usage_error(f"tau {self} has {count} values", f"--tau with {hint}")

    def times(self, factor: float) -> Temperature:
        """All values times a factor, rounded to four digits."""
        return Temperature(tuple(float(f"{factor * value:.4g}") for value in self.values))

    def as_json(self) -> list[float]:
        return list(self.values)

    def __str__(self) -> str:
        return "/".join(repr(value).removesuffix(".0") for value in self.values) or _AUTO


# Anything that `of` accepts; a record holds the `Temperature`.
Tau: TypeAlias = Annotated[
    float | str | Sequence[float] | Temperature,
    Parsed(Temperature.of, "a number, 0 or more, or a list of these"),
]
