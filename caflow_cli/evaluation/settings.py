"""The settings of a model's evaluation, with their defaults and checks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..config import Config
from ..errors import EXIT_USAGE, CaflowError
from ..paths import exists, url_of
from ..sampling import Sampling, check_noise_samples, check_rank
from ..temperature import Tau, Temperature
from .metrics import METRICS, Weights, choose_metrics
from .protocols import BASELINES, Protocol, get_protocol

if TYPE_CHECKING:
    from ..data.split import Split

__all__ = ["Cell", "Settings", "check_images"]

_MOST_CANDIDATES = 10_000  # of one image, which are in memory together
_SEEDS = 2**32


class Cell(NamedTuple):
    """One setting of a sweep: the N best of M candidates at temperature tau, by a rule of rank."""

    tau: Temperature
    m: int
    n: int
    rank: str = "likelihood"

    @property
    def name(self) -> str:
        """For files."""
        return f"tau{self.tau}_m{self.m}_n{self.n}".replace("/", "-")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings. Several temperatures, M, N or rules are a sweep over combinations with N <= M.

    Candidates are drawn once for each temperature, for the largest M. A smaller M takes the first
    of them.
    """

    metrics: str | Sequence[str] = ()  # names, or "all"; none: the protocol's, else lpips and rmse
    tau: Tau | Sequence[Tau] | None = (
        None  # None: the protocol's, else the model's, else the task's
    )
    candidates: int | Sequence[int] | None = None  # M; None: likewise
    keep: int | Sequence[int] | None = None  # N of the M are measured; None: the protocol's, else 1
    rank: str | Sequence[str] = "likelihood"  # rules that choose the N
    seed: int = 0  # candidate k of image r is drawn from seed + 1,000,003 r + k, modulo 2^32
    noise_samples: int = 1  # K of all log-likelihoods
    batch_size: int | None = None  # candidates at a time
    split: Split | None = None  # None: `test/` where there is one, else everything
    limit: int | None = None  # the first so many images; None: the protocol's, else all
    protocol: Protocol | str | None = None
    masks: str | Path | None = None  # for a protocol that needs them: folder or zip
    weights: Weights = field(default_factory=Weights)
    save_images: str | Path | None = None  # folder for the kept candidates
    report: str | Path | None = None  # folder for the gallery, `index.html`
    skip_existing: bool = False  # go on with what an interrupted run left in either
    save_stats: str | Path | None = None  # an .npz of the truths' features, for later runs

    def check(self) -> Settings:
        """Fill in what the protocol states, and refuse values that no model can use.

        Raises:
            CaflowError: (exit 2) a metric or the protocol is unknown, or a value is out of range.
        """
        protocol = get_protocol(self.protocol) if isinstance(self.protocol, str) else self.protocol
        tau, candidates, keep, limit = self.tau, self.candidates, self.keep, self.limit
        if protocol is not None:
            tau = protocol.tau if tau is None else tau
            candidates = protocol.candidates if candidates is None else candidates
            keep = protocol.keep if keep is None else keep
            limit = protocol.images if limit is None else limit
        found = replace(
            self,
            protocol=protocol,
            metrics=self._names(protocol),
            tau=None if tau is None else tuple(dict.fromkeys(map(Temperature.of, _several(tau)))),
            candidates=None if candidates is None else _several(candidates),
            keep=_several(1 if keep is None else keep),
            rank=_several(self.rank),
            limit=limit,
        )
        found._check()
        return found

    def _names(self, protocol: Protocol | None) -> tuple[str, ...]:
        offered = [name for name, metric in METRICS.items() if metric.needs != "benchmark"]
        if protocol is not None and protocol.whole:
            offered = [n for n, metric in METRICS.items() if metric.needs in ("pairs", "benchmark")]
            if protocol.task != "inpaint":
                offered.remove("psnr_hole")
        given = _several(self.metrics)
        named = [*given, *(protocol.metrics if protocol is not None else ())]
        return tuple(choose_metrics(named, offered, ("lpips", "rmse")))

    def _check(self) -> None:
        protocol = self.protocol
        assert not isinstance(protocol, str)
        for rule in _several(self.rank):
            check_rank(rule)
        for m in () if self.candidates is None else _several(self.candidates):
            Sampling(candidates=m).check()
            _require(m <= _MOST_CANDIDATES, f"cannot draw {m} candidates", "-m 10")
        for n in _several(self.keep):
            Sampling(keep=n).check()
        for name, number in (("--limit", self.limit), ("--batch-size", self.batch_size)):
            _require(number is None or number >= 1, f"{name} is {number}", f"{name} 10")
        # Not `Sampling`'s bound: seeds of many images start again at 0.
        _require(0 <= self.seed < _SEEDS, f"seed {self.seed} is out of range", "--seed 0")
        check_noise_samples(self.noise_samples)
        if protocol is not None and protocol.masks:
            _require(
                self.masks is not None,
                f"protocol {protocol.name} needs masks of damage",
                "--masks DIR, white where a hole is",
            )
        else:
            _require(
                self.masks is None,
                "--masks is for --protocol repair",
                "--protocol repair, or no --masks",
            )
        _require(
            not (self.whole and self.save_stats),
            "--save-stats is not for whole images, whose sizes differ",
            "leave --save-stats out",
        )
        _require(
            not self.skip_existing or self.folder is not None,
            "--skip-existing needs a folder of an earlier run",
            "--save-images DIR",
        )

    def of(self, config: Config) -> Settings:
        """The settings for a model; what is None is filled in from it, else from its task.

        Raises:
            CaflowError: (exit 2) as for `check`, or a value does not fit the model.
        """
        found = self.check()
        defaults = Sampling().of(config)
        assert defaults.candidates is not None, "`of` fills it in"
        found = replace(
            found,
            tau=(defaults.temperature,) if found.tau is None else found.tau,
            candidates=defaults.candidates if found.candidates is None else found.candidates,
            rank=tuple(
                dict.fromkeys(Sampling(rank=rule).of(config).rank for rule in _several(found.rank))
            ),
        )
        for tau in found.taus:
            tau.of_latents(config.flow.latent_scales)
        least, most = min(_several(found.keep)), found.most
        _require(least <= most, f"cannot keep {least} of {most} candidates", f"-m {least}")
        if "diversity" in found.metrics:
            _require(most >= 2, "the diversity of one candidate is none", "-m 10")
        if "calibration" in found.metrics:
            _require(most >= 2, "one candidate has no spread to calibrate", "-m 30")
        return found

    @property
    def folder(self) -> Path | None:
        """Where rows are kept."""
        folder = self.save_images or self.report
        return None if folder is None else Path(folder)

    @property
    def whole(self) -> bool:
        """Whether images keep their size, and only kept candidates are measured."""
        return isinstance(self.protocol, Protocol) and self.protocol.whole

    def baselines(self, task: str) -> tuple[str, ...]:
        """What is measured beside the model: the protocol's baselines, else the task's."""
        own = self.protocol.baselines if isinstance(self.protocol, Protocol) else ()
        return own or (BASELINES[task],)

    @property
    def measures_spread(self) -> bool:
        """Whether all candidates of an image are compared with each other."""
        return bool({"diversity", "calibration"} & set(self.metrics))

    @property
    def taus(self) -> tuple[Temperature, ...]:
        return tuple(map(Temperature.of, _several(self.tau)))

    @property
    def most(self) -> int:
        """The largest M."""
        return int(max(_several(self.candidates)))

    @property
    def sets(self) -> list[str]:
        """The metrics that compare sets."""
        return [name for name in self.metrics if METRICS[name].needs == "sets"]

    @property
    def cells(self) -> list[Cell]:
        """All settings of the sweep. Of whole images at temperature 0, where all candidates are
        alike, there is one."""
        if set(self.metrics) <= {"bpd"}:
            return []
        cells = [
            Cell(tau, m, n, rank)
            for tau in self.taus
            for m in _several(self.candidates)
            for n in _several(self.keep)
            for rank in _several(self.rank)
            if n <= m
        ]
        if self.whole:
            first = _several(self.rank)[0]
            cells = [c if any(c.tau.values) else Cell(c.tau, 1, 1, first) for c in cells]
        return list(dict.fromkeys(cells))

    @property
    def draws(self) -> list[tuple[Temperature, int]]:
        """Temperatures and how many candidates are drawn at each. At 1, too, for likelihoods.

        Where time is measured, every M is drawn by itself.
        """
        if self.whole:
            return list(dict.fromkeys((cell.tau, cell.m) for cell in self.cells))
        draws = dict.fromkeys((cell.tau, self.most) for cell in self.cells)
        if "likelihood" in self.metrics:
            draws[Temperature.of(1.0), self.most] = None
        return list(draws)

    def as_json(self) -> dict[str, Any]:
        return {
            "taus": [tau.as_json() for tau in self.taus],
            "candidates": list(_several(self.candidates)),
            "keep": list(_several(self.keep)),
            "metrics": list(self.metrics),
            "seed": self.seed,
            "noise_samples": self.noise_samples,
            "ranks": list(_several(self.rank)),
        }


def check_images(path: Path) -> None:
    """Refuse a path of nothing, before anything is opened. CaflowError (exit 2)."""
    if url := url_of(path):
        raise CaflowError(
            f"{url!r} is a URL, and images are read from files",
            f"curl -LO {url}, and give the folder, zip or image",
            EXIT_USAGE,
        )
    if not exists(path):
        raise CaflowError(
            f"no images at {str(path)!r}", "give a folder, a zip or an image", EXIT_USAGE
        )


def _several(given: Any) -> tuple[Any, ...]:
    """One or several values as a tuple, in order, without repeats."""
    if isinstance(given, str | int | float | Temperature):
        return (given,)
    return tuple(dict.fromkeys(given))


def _require(condition: bool, message: str, hint: str) -> None:
    if not condition:
        raise CaflowError(message, hint, EXIT_USAGE)
