"""How the files of measured fields are read: the options that say so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from .loading import unit_of_model
from .options import FIELDS, option


@dataclass(frozen=True, kw_only=True)
class Reading:
    """The options of commands that read fields."""

    nodata: float | None = option(
        "--nodata V",
        "The stored value, or nan, that stands for a missing one.",
        FIELDS,
        of="fields",
    )
    variable: str | None = option(
        "--variable NAME",
        "NetCDF: the variable, if several are in the model's unit.",
        FIELDS,
        of="fields",
    )
    units: Sequence[str] = ()  # one of which the variable has, if none is named

    def for_model(self, model: str | None, *, local: bool = False) -> Reading:
        """The same, for a named model of fields; without one, for the bundled ones."""
        from ..hub.choice import field_models

        unit = unit_of_model(model, local=local)
        return replace(self, units=[*field_models()] if unit is None else [unit])

    @property
    def keywords(self) -> dict[str, Any]:
        """As `read_field` takes them."""
        return {"nodata": self.nodata, "variable": self.variable, "units": self.units}
