"""Sets of measured fields: folders or zips of files, whose subfolders stay whole in a split."""

import io
import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from ..errors import CaflowError, ensure
from ..fields import read_field, same_unit
from ..images.profile import Array
from ..images.values import unit_of
from .examples import DamagedError, Examples, open_files
from .split import HoldOut, Split, choose


@contextmanager
def open_fields(
    data: str | Path,
    split: Split | None = None,
    *,
    unit: str,
    least: int = 0,
    seed: int = 0,
    hold_out: HoldOut | None = "20+",
) -> Iterator[Examples]:
    """Open a split of a set of fields, as `open_split` does; a subfolder, such as a day, is never
    divided.

    `Examples.read` returns the values, float32 (H, W) in the unit, NaN where missing, and the steps
    of the data: their width, and 1 if they are in dB, else 0.

    Args:
        data: A folder or zip.
        split: The split. Default: `test/` if there is one, else every field.
        unit: The unit that files must have, unless they state none.
        least: Minimum side of a field.
        seed, hold_out: Of the split.

    Raises:
        CaflowError: On entering, or from `Examples.read`: there are no fields, or too few to split;
            or a field has another unit or is smaller than `least`.
    """
    with open_files(data, "fields") as files:
        part, chosen, held_out = choose(files, split, seed, grouped=True, hold_out=hold_out)
        names = sorted(chosen)

        def read(row: int) -> list[Array]:
            (member,) = chosen[names[row]]
            try:
                file = io.BytesIO(files.read(member))
                raster = read_field(file, nodata=math.nan, name=member, units=[unit]).image
            except CaflowError as error:
                raise DamagedError(error.message, error.hint) from error
            stated = unit_of(raster)
            ensure(
                stated.name == "" or same_unit(stated.name, unit),
                f"{member!r} is in {stated.name}, not {unit}",
                f"--unit {stated.name}, or remove it",
            )
            height, width = raster.size
            ensure(
                min(height, width) >= least,
                f"{member!r} is {width}×{height}, smaller than {least}×{least}",
                f"remove it, or train on smaller crops: --set task.size={min(height, width)}",
            )
            return [raster.values[..., 0], np.array([stated.step, stated.step_in == "db"])]

        yield Examples(
            split=part,
            seed=seed if held_out else None,
            names=names,
            read=read,
            total=len(files.members),
        )


def extremes(examples: Examples) -> tuple[float, float]:
    """The least and the largest value of the fields of a split, damaged ones left out."""
    found: list[float] = []
    for row in range(len(examples)):
        with suppress(DamagedError):
            values = examples.read(row)[0]
            found += [float(np.nanmin(values)), float(np.nanmax(values))]
    low, high = min(found, default=math.nan), max(found, default=math.nan)
    ensure(low < high, f"all values of the training fields are {low}", "give fields that vary")
    return low, high
