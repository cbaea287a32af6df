"""The settings of a model's evaluation, with their defaults and checks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..config import Config
from ..errors import usage_error
from ..paths import exists, url_of
from ..sampling import Sampling, check_noise_samples, check_rank
from ..temperature import Temperature
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


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings. Several temperatures, M, N or rules are a sweep over combinations with N <= M.

    What is a tuple below may be given as one value, a sequence, or a text with commas; a protocol
    by its name. Candidates are sampled once for each temperature, for the largest M; a smaller M
    takes the first of them.

    Raises:
        CaflowError: (exit 2) a metric or the protocol is unknown, or a value is out of range.
    """

    metrics: tuple[str, ...] = ()  # of METRICS; none: the protocol's, else lpips and rmse
    tau: tuple[Temperature, ...] = ()  # none: the protocol's, else the model's, else the task's
    candidates: tuple[int, ...] = ()  # M; none: likewise
    keep: tuple[int, ...] = ()  # N of the M are measured; none: the protocol's, else 1
    rank: tuple[str, ...] = ("likelihood",)  # rules that choose the N
    seed: int = 0  # candidate k of image r has the seed seed + 1,000,003 r + k, modulo 2^32
    noise_samples: int = 1  # K of all log-likelihoods
    batch_size: int | None = None  # candidates at a time
    split: Split | None = None  # None: `test/` if there is one, else everything
    limit: int | None = None  # the first so many images; None: the protocol's, else all
    protocol: Protocol | None = None
    masks: str | Path | None = None  # for a protocol that needs them: folder or zip
    weights: Weights = field(default_factory=Weights)
    save_images: str | Path | None = None  # folder for the kept candidates
    report: str | Path | None = None  # folder for the gallery, `index.html`
    skip_existing: bool = False  # go on with what an interrupted run left in either
    save_stats: str | Path | None = None  # an .npz of the truths' features, for later runs
    lpips_is_optional: bool = (
        False  # left out, with a note, if its network cannot be had: a default
    )

    def __post_init__(self) -> None:
        protocol: Any = self.protocol
        if isinstance(protocol, str):
            protocol = get_protocol(protocol)
        paper = protocol or Protocol("", "", "", (), "")
        metrics = (*_several(self.metrics, (), "--metric", str), *paper.metrics)
        known = {
            "protocol": protocol,
            "metrics": tuple(choose_metrics(metrics, self._offered(protocol), ("lpips", "rmse"))),
            "tau": _several(self.tau, paper.tau, "--tau", Temperature.of),
            "candidates": _several(self.candidates, paper.candidates, "-m", int),
            "keep": _several(self.keep, paper.keep, "-n", int),
            "rank": _several(self.rank, (), "--rank", str),
            "limit": paper.images if self.limit is None else self.limit,
            "lpips_is_optional": self.lpips_is_optional or not metrics,
        }
        for name, value in known.items():
            object.__setattr__(self, name, value)
        self._check()

    @staticmethod
    def _offered(protocol: Protocol | None) -> list[str]:
        """The metrics that can be chosen."""
        if protocol is None or not protocol.whole:
            return [name for name, metric in METRICS.items() if metric.needs != "benchmark"]
        names = [name for name, m in METRICS.items() if m.needs in ("pairs", "benchmark")]
        return [name for name in names if name != "psnr_hole" or protocol.task == "inpaint"]

    def _check(self) -> None:
        for rule in self.rank:
            check_rank(rule)
        for m in self.candidates:
            Sampling(candidates=m).check()
            _require(m <= _MOST_CANDIDATES, f"cannot draw {m} candidates", "-m 10")
        for n in self.keep:
            Sampling(keep=n).check()
        for name, number in (("--limit", self.limit), ("--batch-size", self.batch_size)):
            _require(number is None or number >= 1, f"{name} is {number}", f"{name} 10")
        # Not `Sampling`'s bound: seeds of many images start again at 0.
        _require(0 <= self.seed < _SEEDS, f"seed {self.seed} is out of range", "--seed 0")
        check_noise_samples(self.noise_samples)
        splits = (None, "train", "val", "test")
        _require(self.split in splits, f"unknown split {self.split!r}", "--split test")
        if self.protocol is not None and self.protocol.masks:
            message = f"protocol {self.protocol.name} needs masks of damage"
            _require(self.masks is not None, message, "--masks DIR, white where a hole is")
        else:
            message = "--masks is for --protocol repair"
            _require(self.masks is None, message, "--protocol repair, or no --masks")
        message = "--save-stats is not for whole images, whose sizes differ"
        _require(not (self.whole and self.save_stats), message, "leave --save-stats out")
        message = "--skip-existing needs a folder of an earlier run"
        _require(not self.skip_existing or bool(self.folder), message, "--save-images DIR")

    def of(self, config: Config) -> Settings:
        """The settings for a model; what is open is filled in from it, else from its task.

        Raises:
            CaflowError: (exit 2) a value does not fit the model.
        """
        defaults = Sampling().of(config)
        assert defaults.candidates is not None, "`of` fills it in"
        found = replace(
            self,
            tau=self.tau or (defaults.temperature,),
            candidates=self.candidates or (defaults.candidates,),
        )
        for tau in found.tau:
            tau.of_latents(config.flow.latent_scales)
        least, most = min(found.keep), max(found.candidates)
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
        return self.protocol is not None and self.protocol.whole

    def baselines(self, task: str) -> tuple[str, ...]:
        """The baselines of the protocol, else of the task."""
        own = () if self.protocol is None else self.protocol.baselines
        return tuple(own) or (BASELINES[task],)

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
            for tau in self.tau
            for m in self.candidates
            for n in self.keep
            for rank in self.rank
            if n <= m
        ]
        if self.whole:
            cells = [c if any(c.tau.values) else Cell(c.tau, 1, 1, self.rank[0]) for c in cells]
        return list(dict.fromkeys(cells))

    @property
    def draws(self) -> list[tuple[Temperature, int]]:
        """Temperatures and how many candidates are sampled at each. At 1, too, for likelihoods.

        Where time is measured, every M is sampled by itself.
        """
        if self.whole:
            return list(dict.fromkeys((cell.tau, cell.m) for cell in self.cells))
        most = max(self.candidates)
        draws = dict.fromkeys((cell.tau, most) for cell in self.cells)
        if "likelihood" in self.metrics:
            draws[Temperature.of(1.0), most] = None
        return list(draws)

    def as_json(self) -> dict[str, Any]:
        return {
            "taus": [tau.as_json() for tau in self.tau],
            "candidates": list(self.candidates),
            "keep": list(self.keep),
            "metrics": list(self.metrics),
            "seed": self.seed,
            "noise_samples": self.noise_samples,
            "ranks": list(self.rank),
        }


def _several(given: Any, default: Any, flag: str, kind: Callable[[Any], Any]) -> tuple[Any, ...]:
    """One value, several, or a text with commas as a tuple, in order, without repeats.

    None and an empty sequence are the default, of which None is none.
    """
    if given is None or given == () or given == []:
        given = () if default is None else default
    parts = given
    if isinstance(given, str):
        parts = given.split(",")
    elif isinstance(given, int | float | Temperature):
        parts = [given]
    try:
        return tuple(dict.fromkeys(map(kind, parts)))
    except ValueError as error:
        raise usage_error(f"{flag} is {given!r}", f"{flag} 1, or 1,10") from error


def check_images(path: Path) -> None:
    """Refuse a path of nothing, before anything is opened. CaflowError (exit 2)."""
    if url := url_of(path):
        raise usage_error(
            f"{url!r} is a URL, and images are read from files",
            f"curl -LO {url}, and give the folder, zip or image",
        )
    if not exists(path):
        raise usage_error(f"no images at {str(path)!r}", "give a folder, a zip or an image")


def _require(condition: bool, message: str, hint: str) -> None:
    if not condition:
        raise usage_error(message, hint)
