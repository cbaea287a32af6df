"""Options of commands for measured fields."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..assets import named_path
from ..errors import check_usage
from ..paths import is_folder
from .options import FIELDS, option

NINE = (
    "intervals of fields need at least nine groups of fields, such as days, because the fields of "
    "a group are alike"
)
APART = (
    "densities of fields with different numbers of wet cells have different units, so that their "
    "likelihoods do not compare"
)

NODATA = option(
    "--nodata V",
    "Fields: the stored value, or nan, that stands for a missing one; else those are refused.",
    FIELDS,
)


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The options of ensembles; each field is the option of the same name."""

    nodata: float | None = NODATA

    def may_apply(self, inputs: Sequence[str], model: str | None) -> bool:
        """Whether inputs may be fields, or an option is used, so that `find_model` decides."""
        from ..fields import FIELD_FORMATS

        may = {"", *FIELD_FORMATS}  # patterns, too
        is_given = model is not None or self.nodata is not None
        return is_given or any(
            is_folder(name) or named_path(name).suffix.lower() in may for name in inputs
        )

    def check_unused(self) -> None:
        """Raise CaflowError (exit 2) if an option is used, as images have none of them."""
        hint = "leave it out, or --model of a model of fields (docs/fields.md)"
        check_usage(self.nodata is None, "--nodata: for measured fields", hint)
