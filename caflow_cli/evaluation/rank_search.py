"""The search for a model's rule of choice: the rule that names one of the rules of rank."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import CaflowError
from ..temperature import Temperature

if TYPE_CHECKING:
    from .estimates import Estimate
    from .result import Result

__all__ = ["ERRORS", "RMSE_ROOM", "Measured", "RankChoice", "choose_rank"]

ERRORS = 2.0  # by how many standard errors of the paired difference LPIPS must be lower
RMSE_ROOM = 0.01  # by how much the RMSE may be above likelihood's


class Measured(NamedTuple):
    """The mean figures of what one rule of rank chose."""

    rmse: Estimate
    lpips: Estimate
    lower: Estimate | None  # LPIPS minus that of likelihood's choice, paired; None: it is that

    def as_json(self) -> dict[str, Any]:
        record = {"rmse": self.rmse.as_json(), "lpips": self.lpips.as_json()}
        if self.lower is not None:
            record["lpips_minus_likelihood"] = self.lower.as_json()
        return record

    @property
    def betters(self) -> bool:
        """Whether its LPIPS is lower than likelihood's, by more than chance explains."""
        if self.lower is None or self.lower.standard_error is None:
            return False
        return self.lower.mean < 0 and self.lower.mean <= -ERRORS * self.lower.standard_error


@dataclass(frozen=True)
class RankChoice:
    """The rule of rank that is chosen, and the figures of all."""

    rank: str
    tau: Temperature  # of the candidates
    candidates: int  # M
    keep: int  # N
    measured: Mapping[str, Measured]  # by rule of rank

    @property
    def rule(self) -> str:
        """The rule that chooses, in words."""
        return (
            f"the lowest lpips of those at least {ERRORS:g} standard errors below likelihood's, "
            f"paired, with an rmse at most {RMSE_ROOM:.0%} above likelihood's; else likelihood"
        )

    def as_json(self) -> dict[str, Any]:
        limit = self.measured["likelihood"].rmse.mean * (1 + RMSE_ROOM)
        return {
            "rule": self.rule,
            "rank": self.rank,
            "tau": self.tau.as_json(),
            "pictures": self.measured["likelihood"].lpips.count,
            "candidates": self.candidates,
            "keep": self.keep,
            "rmse_at_most": limit,
            "rules": {name: figures.as_json() for name, figures in self.measured.items()},
        }

    def __str__(self) -> str:
        found = self.measured[self.rank]
        text = f"--rank {self.rank}: {self.rule}; "
        text += f"rmse {found.rmse.mean:.2f}, lpips {found.lpips.mean:.4f}"
        if found.lower is not None:
            text += f" ({found.lower.mean:+.4f} ± {found.lower.standard_error or 0:.4f})"
        return text


def choose_rank(results: Sequence[Result]) -> RankChoice:
    """The rule with the lowest LPIPS, if it is better than likelihood's by enough.

        argmin LPIPS(r)  over  d(r) < 0,  d(r) <= -2 se(d(r)),  RMSE(r) <= 1.01 RMSE(likelihood)

    d(r) is the mean difference of LPIPS between what r and what likelihood chooses of the same
    candidates. Where no rule is left, likelihood stays. Of equals the one with less RMSE counts,
    then the first.

    Args:
        results: Rows of an evaluation of several rules at one temperature, one M and one N.

    Raises:
        CaflowError: Likelihood is not among them.
    """
    measured: dict[str, Measured] = {}
    cells = []
    for row in results:
        if row.what == "model" and row.cell is not None and {"rmse", "lpips"} <= row.values.keys():
            lower = row.differences.get("likeliest", {}).get("lpips")
            measured[row.cell.rank] = Measured(row.values["rmse"], row.values["lpips"], lower)
            cells.append(row.cell)
    if "likelihood" not in measured:
        raise CaflowError("likelihood's choice was not measured", "--rank likelihood,consensus")
    limit = measured["likelihood"].rmse.mean * (1 + RMSE_ROOM)
    better = [name for name, one in measured.items() if one.betters and one.rmse.mean <= limit]
    rank = min(
        better,
        key=lambda name: (measured[name].lpips.mean, measured[name].rmse.mean),
        default="likelihood",
    )
    return RankChoice(rank, cells[0].tau, cells[0].m, cells[0].n, measured)
