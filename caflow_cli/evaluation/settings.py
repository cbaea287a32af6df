"""The settings of a model's evaluation: temperatures, candidates, pictures kept, metrics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..config import Config
from ..errors import EXIT_USAGE, CaflowError
from ..sampling import Sampling, check_noise_samples, check_rank
from ..temperature import Tau, Temperature
from .metrics import METRICS, OF_MODELS, choose_metrics

__all__ = ["Cell", "EvaluationSettings"]

_MOST_CANDIDATES = 10_000  # of one picture, which are in memory together
_SEEDS = 2**32


@dataclass(frozen=True)
class Cell:
    """One setting of a sweep: the N best of M candidates at temperature tau, by a rule of rank."""

    tau: Temperature
    m: int
    n: int
    rank: str = "likelihood"


@dataclass(frozen=True)
class EvaluationSettings:
    """All settings. Several temperatures, M, N or rules are a sweep over combinations with N <= M.

    Candidates are drawn once for each temperature, for the largest M. A smaller M takes the first
    of them.
    """

    taus: tuple[Temperature, ...]
    candidates: tuple[int, ...]  # each an M
    keep: tuple[int, ...]  # each an N
    metrics: tuple[str, ...]  # in the catalogue's order
    seed: int = 0
    noise_samples: int = 1
    ranks: tuple[str, ...] = ("likelihood",)  # rules that choose the N of the M

    @classmethod
    def resolve(
        cls,
        config: Config,
        metrics: Sequence[str] | str,
        tau: Tau | Sequence[Tau] | None = None,
        candidates: int | Sequence[int] | None = None,
        keep: int | Sequence[int] = 1,
        seed: int = 0,
        noise_samples: int = 1,
        rank: str | Sequence[str] = "likelihood",
    ) -> EvaluationSettings:
        """Fill in settings that are None: from the model, else from its task.

        Raises:
            CaflowError: (exit 2) a metric is unknown, or as for `check`.
        """
        names = [metrics] if isinstance(metrics, str) else metrics
        rules = [rank] if isinstance(rank, str) else rank
        defaults = Sampling().of(config)
        assert defaults.candidates is not None  # `of` fills it in
        result = cls(
            taus=_temperatures(defaults.temperature if tau is None else tau),
            candidates=tuple(
                map(int, _several(defaults.candidates if candidates is None else candidates))
            ),
            keep=tuple(map(int, _several(keep))),
            metrics=tuple(choose_metrics(names, OF_MODELS)),
            seed=seed,
            noise_samples=noise_samples,
            ranks=tuple(dict.fromkeys(Sampling(rank=rule).of(config).rank for rule in rules)),
        )
        result.check()
        for own in result.taus:
            own.of_latents(config.flow.latent_scales)
        return result

    def check(self) -> None:
        """Refuse settings that cannot be run: CaflowError (exit 2)."""
        for tau in self.taus:
            Sampling(tau=tau).check()
        for rule in self.ranks:
            check_rank(rule)
        for m in self.candidates:
            Sampling(candidates=m).check()
            _require(m <= _MOST_CANDIDATES, f"cannot draw {m} candidates", "-m 10")
        for n in self.keep:
            Sampling(keep=n).check()
        least, most = min(self.keep), max(self.candidates)
        _require(least <= most, f"cannot keep {least} of {most} candidates", f"-m {least}")
        # Not `Sampling`'s bound: seeds of many pictures start again at 0.
        _require(0 <= self.seed < _SEEDS, f"seed {self.seed} is out of range", "--seed 0")
        check_noise_samples(self.noise_samples)
        if "diversity" in self.metrics:
            _require(most >= 2, "the diversity of one candidate is none", "-m 10")
        if "calibration" in self.metrics:
            _require(most >= 2, "one candidate has no spread to calibrate", "-m 30")

    @property
    def cells(self) -> list[Cell]:
        """All settings of the sweep."""
        return [
            Cell(tau, m, n, rank)
            for tau in self.taus
            for m in self.candidates
            for n in self.keep
            for rank in self.ranks
            if n <= m
        ]

    @property
    def draws(self) -> list[Temperature]:
        """The temperatures to draw at: none for only bits/dim; also 1 for likelihoods."""
        if set(self.metrics) <= {"bpd"}:
            return []
        one = Temperature.of(1.0)
        extra = (one,) if "likelihood" in self.metrics and one not in self.taus else ()
        return [*self.taus, *extra]

    @property
    def most(self) -> int:
        """The largest M."""
        return max(self.candidates)

    def wants(self, needs: str) -> list[str]:
        """The chosen metrics of that kind."""
        return [name for name in self.metrics if METRICS[name].needs == needs]

    def as_json(self) -> dict[str, Any]:
        record = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}
        return {**record, "taus": [tau.as_json() for tau in self.taus]}


def _temperatures(given: Tau | Sequence[Tau]) -> tuple[Temperature, ...]:
    """One temperature or several, in their order, without repeats."""
    if isinstance(given, (int, float, str, Temperature)):
        return (Temperature.of(given),)
    return tuple(dict.fromkeys(map(Temperature.of, given)))


def _several(given: Sequence[float] | float) -> tuple[float, ...]:
    """One or several values as a tuple, in order, without repeats."""
    if isinstance(given, (int, float)):
        return (given,)
    return tuple(dict.fromkeys(given))


def _require(condition: bool, message: str, hint: str) -> None:
    if not condition:
        raise CaflowError(message, hint, EXIT_USAGE)
