"""Options of commands for measured fields."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from ..assets import named_path
from ..errors import check_usage
from ..paths import is_folder
from .options import OUTPUT, option

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
    OUTPUT,
)


def _parsed_quantiles(typed: str) -> Sequence[float]:
    """Parse `0.05,0.5,0.95`; CaflowError (exit 2) if it is something else."""
    found: list[float] = []
    with suppress(ValueError):
        found = [float(part) for part in typed.split(",")]
    check_usage(
        bool(found) and all(0 <= q <= 1 for q in found) and len({*found}) == len(found),
        f"--quantile is {typed!r}",
        "--quantile 0.05,0.5,0.95, numbers from 0 to 1",
    )
    return found


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The options of ensembles; each field is the option of the same name."""

    nodata: float | None = NODATA
    quantile: Sequence[float] | None = option(
        "--quantile Q,Q",
        "Fields: write quantiles of all M members, such as 0.05,0.5,0.95; nothing is promised.",
        OUTPUT,
        parser=_parsed_quantiles,
    )

    def may_apply(self, inputs: Sequence[str], model: str | None) -> bool:
        """Whether inputs may be fields, or an option is used, so that `find_model` decides."""
        from ..fields import FIELD_FORMATS

        may = {"", *FIELD_FORMATS}  # patterns, too
        given = [value for value in (model, self.nodata, self.quantile) if value is not None]
        return bool(given) or any(
            is_folder(name) or named_path(name).suffix.lower() in may for name in inputs
        )

    def check_unused(self) -> None:
        """Raise CaflowError (exit 2) if an option is used, as images have none of them."""
        given = {"--nodata": self.nodata, "--quantile": self.quantile}
        used = [name for name, value in given.items() if value is not None]
        hint = "leave it out, or --model of a model of fields (docs/fields.md)"
        check_usage(not used, f"{', '.join(used)}: for measured fields", hint)
