"""The settings of a model's evaluation, with their defaults and checks."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

from ..config import Config, Temperature
from ..data.split import Split
from ..errors import check_usage, usage_error
from ..sampling import Sampling, check_noise_samples, check_rank
from .metrics import METRICS, Weights, choose_metrics
from .protocols import NO_PROTOCOL, Protocol, get_protocol

# Fields that may be given as one value: the option, and the type of a value.
_SEVERAL: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "metrics": ("--metric", str),
    "tau": ("--tau", Temperature.of),
    "candidates": ("-m", int),
    "keep": ("-n", int),
    "rank": ("--rank", str),
}
# Metrics that need all M candidates.
_OF_ALL = {"diversity", "calibration", "likelihood"}
_OF_ALL |= {name for name, metric in METRICS.items() if metric.needs == "samples"}


class Cell(NamedTuple):
    """One setting of a sweep: the N best of M candidates at temperature tau, by a ranking rule."""

    tau: Temperature
    m: int
    n: int
    rank: str = "likelihood"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings. Several temperatures, M, N or rules make a sweep over combinations with N <= M.

    Tuple fields may be given as a single value, a sequence, or a comma-separated text; a protocol,
    by its name. Candidates are sampled once per temperature, for the largest M; a smaller M uses
    the first of them.

    Raises:
        CaflowError: (exit 2) a metric or the protocol is unknown, or a value is out of range.
    """

    metrics: tuple[str, ...] = ()  # of METRICS; empty: the protocol's, else lpips and rmse
    tau: tuple[Temperature, ...] = ()  # empty: the protocol's, else the model's, else the task's
    candidates: tuple[int, ...] = ()  # M; empty: as for tau
    keep: tuple[int, ...] = ()  # N of the M are measured; empty: the protocol's, else 1
    rank: tuple[str, ...] = ("likelihood",)  # rules that choose the N
    seed: int = 0  # candidate k of image r has the seed seed + 1,000,003 r + k, modulo 2^32
    # superres: whether candidates are projected to images that shrink to the input; None: as the
    # model states.
    consistent: bool | None = None
    noise_samples: int = 1  # K, for all log-likelihoods
    batch_size: int | None = None  # candidates at a time
    split: Split | None = None  # None: `test/` if there is one, else everything
    limit: int | None = None  # use only the first images; None: as the protocol says, else all
    protocol: Protocol = NO_PROTOCOL
    masks: str | Path | None = None  # for a protocol that needs them: folder or zip
    # superres: inputs are shrunk by BICUBIC, like web images (protocol sr4-web), or like photos in
    # training.
    inputs: Literal["clean", "web", "photo"] = "clean"
    weights: Weights = field(default_factory=Weights)
    save_images: str | Path | None = None  # folder for the kept candidates
    report: str | Path | None = None  # folder for the gallery, `index.html`
    skip_existing: bool = False  # continue an interrupted run in either folder
    fit: bool = False  # reduce M to `sampling.fitting` for large images; set by `of`

    def __post_init__(self) -> None:
        given: Any = self.protocol
        protocol = get_protocol(given) if isinstance(given, str) else given or NO_PROTOCOL
        values: dict[str, Any] = {"protocol": protocol}
        for name, (flag, kind) in _SEVERAL.items():
            own = _several(getattr(self, name), flag, kind)
            values[name] = own or _several(getattr(protocol, name, ()), flag, kind)
        metrics = (*values["metrics"], *protocol.metrics)
        if metrics:
            values["metrics"] = choose_metrics(metrics, _offered(protocol))
        values["limit"] = protocol.images if self.limit is None else self.limit
        values["inputs"] = protocol.inputs or self.inputs
        for name, value in values.items():
            object.__setattr__(self, name, value)
        for rule in self.rank:
            check_rank(rule)
        for m in self.candidates:
            Sampling(candidates=m).check()
        for n in self.keep:
            Sampling(keep=n).check()
        check_noise_samples(self.noise_samples)
        check_usage(self.limit is None or self.limit > 0, f"--limit is {self.limit}", "--limit 10")
        check_usage(
            self.inputs in ("clean", "web", "photo"),
            f"inputs is {self.inputs!r}",
            "clean, web or photo",
        )
        check_usage(
            protocol.masks or not self.masks,
            "--masks is for --protocol repair",
            "--protocol repair, or omit --masks",
        )
        check_usage(
            bool(self.masks) or not protocol.masks,
            f"protocol {protocol.name} needs damage masks",
            "--masks DIR, white inside holes",
        )

    def of(self, config: Config) -> "Settings":
        """Fill in unset fields from a model's config, else from its task.

        Raises:
            CaflowError: (exit 2) a value does not fit the model.
        """
        from ..tasks import task_named  # imported here, so that `--help` needs no NumPy

        defaults = Sampling(consistent=self.consistent).of(config)
        assert defaults.candidates is not None, "`of` fills it in"
        chosen = self.candidates or config.task.candidates
        compared = "consensus" in self.rank or not _OF_ALL.isdisjoint(self.metrics)
        filled = replace(
            self,
            metrics=self.metrics or ("lpips", "rmse"),
            tau=self.tau or (defaults.temperature,),
            candidates=self.candidates or (defaults.candidates,),
            fit=task_named(config.task.name).enlarges and not chosen and not compared,
        )
        for tau in filled.tau:
            tau.of_latents(config.flow.latent_scales)
        least = min(filled.keep)
        most = max(filled.candidates)
        check_usage(least <= most, f"cannot keep {least} of {most} candidates", f"-m {least}")
        check_usage(
            most > 1 or not _OF_ALL - {"likelihood"} & set(filled.metrics),
            "one candidate has no diversity or calibration",
            "-m 10",
        )
        return filled

    @property
    def log(self) -> Path | None:
        """The file for rows, if any."""
        folder = self.save_images or self.report
        return None if folder is None else Path(folder) / "evaluate.jsonl"

    @property
    def whole(self) -> bool:
        """Whether images keep their size, and only the kept candidates are measured."""
        return self.protocol.whole

    @property
    def sets(self) -> list[str]:
        """The metrics that compare sets."""
        return [name for name in self.metrics if METRICS[name].needs == "sets"]

    @property
    def of_samples(self) -> list[str]:
        """The metrics of all M samples together, of a protocol for superres."""
        return [name for name in self.metrics if METRICS[name].needs == "samples"]

    @property
    def cells(self) -> list[Cell]:
        """All settings of the sweep. For whole images, temperature 0 has only one, because all its
        candidates are alike."""
        if set(self.metrics) <= {"bpd"}:
            return []
        cells: dict[Cell, None] = {}
        for cell in itertools.starmap(
            Cell, itertools.product(self.tau, self.candidates, self.keep, self.rank)
        ):
            if self.whole and not any(cell.tau.values):
                cell = Cell(cell.tau, 1, 1, self.rank[0])
            if cell.n <= cell.m:
                cells[cell] = None
        return list(cells)

    @property
    def draws(self) -> list[tuple[Temperature, int]]:
        """The temperatures, and the number of candidates sampled at each.

        For whole images every M is sampled separately, so that its time can be measured.
        """
        most = max(self.candidates)
        draws = [(cell.tau, cell.m if self.whole else most) for cell in self.cells]
        return list(dict.fromkeys(draws))

    def departures(self, images: int) -> list[str]:
        """A note on how a run on `images` images departs from the paper's table, if it does."""
        if self.protocol.images is None:
            return []
        ours = self._described(images)
        theirs = Settings(protocol=self.protocol)._described(self.protocol.images)
        return (
            [] if ours == theirs else [f"differs from {self.protocol.name}: {ours}; there {theirs}"]
        )

    def _described(self, images: int) -> str:
        taus = ", ".join(map(str, self.tau))
        ranks = ", ".join(self.rank)
        m = list(self.candidates)
        n = list(self.keep)
        return f"tau {taus}, M {m}, N {n}, by {ranks}, {images} images"

    def as_json(self) -> dict[str, Any]:
        record: dict[str, Any] = {
            "taus": [tau.as_json() for tau in self.tau],
            "candidates": list(self.candidates),
            "keep": list(self.keep),
            "metrics": list(self.metrics),
            "seed": self.seed,
            "noise_samples": self.noise_samples,
            "ranks": list(self.rank),
        }
        if self.consistent is not None:
            record["consistent"] = True
        if self.inputs != "clean":
            record["inputs"] = self.inputs
        if self.fit:
            record["fit"] = True
        return record


def _offered(protocol: Protocol) -> list[str]:
    """The metrics that a model can be measured by, with a protocol or without."""
    needs = ["pairs", "sets", "model"]
    if protocol.whole:
        needs = ["pairs", "benchmark"]
    if protocol.factor is not None:
        needs.append("samples")
    names = [name for name, metric in METRICS.items() if metric.needs in needs]
    if not protocol.masks:
        names = [name for name in names if name != "psnr_hole"]
    return names


def _several(given: Any, flag: str, kind: Callable[[Any], Any]) -> tuple[Any, ...]:
    """Convert one value, several, or a comma-separated text to a tuple without duplicates."""
    parts = given.split(",") if isinstance(given, str) else given
    if isinstance(given, int | float | Temperature):
        parts = [given]
    try:
        return tuple(dict.fromkeys(map(kind, parts or ())))
    except ValueError as error:
        raise usage_error(f"{flag} is {given!r}", f"{flag} 1, or 1,10") from error
