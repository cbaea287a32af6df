"""Values whose black and white are stated: `--value-range A,B`, and `value_range` in Python.

Such values stay as they are stored, and results have their type and their range. What models read
are their levels: black is 0, and white the largest value of 8 or 16 bits, or 1.
"""

from __future__ import annotations

import math
from contextlib import suppress
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ..errors import EXIT_FAILED, CaflowError, check_usage, ensure, usage_error
from ..records import plain, short
from .profile import Array, strips
from .refusals import DEEP_HINT, check_finite, has_deep

Range: TypeAlias = tuple[float, float]  # the values of black and white

_STEPS = 65535  # of 16 bits
_DEPTHS = (8, 10, 12, 13)  # bits of data that 16 bits hold, and that stay below an eighth of them


def range_of(typed: str) -> Range:
    """Parse `A,B`; CaflowError (exit 2) unless it is a range."""
    with suppress(ValueError):
        low, high = map(float, typed.split(","))
        if 0 < high - low < math.inf:
            return low, high
    raise usage_error(
        f"--value-range is {typed!r}", "--value-range 0,4095: the values of black and white"
    )


def stated_range(given: object) -> Range | None:
    """A range as Python states it, or None; CaflowError (exit 2) unless it is one."""
    if given is None:
        return None
    found = plain(given)
    numbers = [*map(plain, found)] if isinstance(found, list | tuple) else []
    is_pair = len(numbers) == 2 and {*map(type, numbers)} <= {int, float}
    check_usage(
        is_pair and 0 < numbers[1] - numbers[0] < math.inf,
        f"value_range is {short(given)}",
        "value_range=(0, 1), or another: the values of black and white",
    )
    low, high = numbers
    return float(low), float(high)


def check_in_range(
    values: Array, value_range: Range, what: str, exit_code: int = EXIT_FAILED
) -> None:
    """Raise CaflowError unless values, (H, W, C), lie in a range; floats up to half a step of 16
    bits."""
    low, high = value_range
    between = f"{low:.9g} to {high:.9g}"
    spare = 0.0
    if values.dtype.kind == "f":
        check_finite(values, what, f"replace them by numbers from {between}", exit_code)
        spare = (high - low) / (2 * _STEPS)
    if values.min() >= low - spare and values.max() <= high + spare:
        return
    outside = (values < low - spare) | (values > high + spare)
    y, x, band = (int(place) for place in np.argwhere(outside)[0])
    count = int(outside.sum())
    others = "" if count == 1 else f", and {count - 1:,} more values"
    raise CaflowError(
        f"{what} holds {values[y, x, band].item():.9g} at x {x}, y {y}{others} outside {between}",
        f"a range that has {values.min().item():.9g} to {values.max().item():.9g}, or clip them",
        exit_code,
    )


def check_ranged(
    values: Array, value_range: Range, label: str, *, converted: bool, deep: bool
) -> None:
    """Raise CaflowError unless values are as their file has them, and in a range; it does not if
    they are `converted`, or rounded from 16 bits, which are `deep`."""
    ensure(
        not converted,
        f"{label!r} has colors that are converted to sRGB, so that no range can be stated",
        "leave the range out",
    )
    ensure(
        not deep or values.itemsize > 1,
        f"{label!r} has 16 bits per channel, which are read as 8, so that no range can be stated",
        DEEP_HINT if not has_deep() else "save it as PNG or TIFF of 16 bits, black as 0",
    )
    check_in_range(values, value_range, repr(label))


def to_levels(values: Array, value_range: Range) -> Array:
    """The levels of values: uint8 of integers of 8 bits, uint16 of others, float32 of floats."""
    low, high = value_range
    kind: npt.DTypeLike = np.uint8 if values.itemsize == 1 else np.uint16
    most = 1 if values.dtype.kind == "f" else np.iinfo(kind).max
    result: npt.NDArray[Any] = np.empty(values.shape, np.float32 if most == 1 else kind)
    for rows in strips(*values.shape[:2]):
        shares = (values[rows].astype(np.float64) - low) * (most / (high - low))
        result[rows] = shares.clip(0, 1) if most == 1 else np.rint(shares)
    return result


def from_levels(levels: Array, value_range: Range, kind: npt.DTypeLike) -> Array:
    """The values, of a type, that have these levels; integers are rounded."""
    low, high = value_range
    most = 1 if levels.dtype.kind == "f" else np.iinfo(levels.dtype).max
    result: npt.NDArray[Any] = np.empty(levels.shape, kind)
    for rows in strips(*levels.shape[:2]):
        values = low + levels[rows].astype(np.float64) * ((high - low) / most)
        if result.dtype.kind != "f":
            values = np.rint(values).clip(math.ceil(low), math.floor(high))
        result[rows] = values
    return result


def low_note(most: int) -> str | None:
    """What is said of 16 bits whose largest value is `most`, if that is below an eighth."""
    bits = next((bits for bits in _DEPTHS if 0 < most < 2**bits), None)
    if bits is None:
        return None
    return (
        f"its 16 bits end at {most:,}, so that it is nearly black; if it has {bits} bits, state "
        f"that: --value-range 0,{2**bits - 1} (in Python, value_range)"
    )
