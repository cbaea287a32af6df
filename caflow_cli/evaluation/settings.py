"""The settings of a model's evaluation, with their defaults and checks."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

from ..config import Config, Temperature
from ..data.split import Split
from ..errors import check_usage, usage_error
from ..sampling import Sampling, check_noise_samples
from .metrics import Weights, choose_metrics, needing
from .protocols import NO_PROTOCOL, Protocol, get_protocol

# Fields that may be given as one value: the option, and the type of a value.
_SEVERAL: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "metrics": ("--metric", str),
    "tau": ("--tau", Temperature.of),
    "keep": ("-n", int),
    "rank": ("--rank", str),
}
# Metrics that need several candidates, and those that need all M.
_OF_SEVERAL = {"diversity", "calibration", *needing("samples")}
_OF_ALL = {"likelihood", *_OF_SEVERAL}


class Cell(NamedTuple):
    """One setting of a sweep: the N best of M candidates at temperature tau, by a ranking rule."""

    tau: Temperature
    candidates: int  # M
    keep: int  # N
    rank: str = "likelihood"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings. Several temperatures, N or rules make a sweep over their combinations.

    Tuple fields may be given as a single value, a sequence, or a comma-separated text; a protocol,
    by its name. Candidates are sampled once per temperature.

    Raises:
        CaflowError: (exit 2) a metric or the protocol is unknown, or a value is out of range.
    """

    metrics: tuple[str, ...] = ()  # of METRICS; empty: the protocol's, else lpips and rmse
    tau: tuple[Temperature, ...] = ()  # empty: the protocol's, else the model's, else the task's
    candidates: int | None = None  # M; None: as for tau
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
    skip_existing: bool = False  # continue an interrupted run in that folder
    fit: bool = False  # reduce M to `sampling.fitting` for large images; set by `of`

    def __post_init__(self) -> None:
        given: Any = self.protocol
        protocol = get_protocol(given) if isinstance(given, str) else given or NO_PROTOCOL
        values: dict[str, Any] = {"protocol": protocol}
        for name, (flag, kind) in _SEVERAL.items():
            several = _several(getattr(self, name), flag, kind)
            default = getattr(protocol, name, ())
            values[name] = several or _several(default, flag, kind)
        metrics = (*values["metrics"], *protocol.metrics)
        if metrics:
            values["metrics"] = choose_metrics(metrics, _offered(protocol))
        if self.candidates is None:
            values["candidates"] = protocol.candidates
        if self.limit is None:
            values["limit"] = protocol.images
        if protocol.inputs is not None:
            values["inputs"] = protocol.inputs
        for name, value in values.items():
            object.__setattr__(self, name, value)
        for rank, keep in itertools.product(self.rank, self.keep):
            Sampling(candidates=self.candidates, keep=keep, rank=rank).check()
        check_noise_samples(self.noise_samples)
        check_usage(
            self.limit is None or self.limit > 0,
            f"--limit is {self.limit}",
            "--limit 10",
        )
        check_usage(
            self.inputs in ("clean", "web", "photo"),
            f"inputs is {self.inputs!r}",
            "clean, web or photo",
        )
        check_usage(
            bool(self.masks) == protocol.masks,
            "--masks is for --protocol repair, which needs damage masks",
            "--protocol repair --masks DIR, white inside holes",
        )

    def of(self, config: Config) -> "Settings":
        """Fill in unset fields from a model's config, else from its task.

        Raises:
            CaflowError: (exit 2) a value does not fit the model.
        """
        from ..tasks import task_named  # imported here, so that `--help` needs no NumPy

        most = max(self.keep)
        asked = Sampling(candidates=self.candidates, keep=most, consistent=self.consistent)
        taus = self.tau or (None,)
        filled = [replace(asked, tau=tau).of(config) for tau in taus]
        metrics = self.metrics or ("lpips", "rmse")
        m = filled[0].candidates
        check_usage(
            m != 1 or _OF_SEVERAL.isdisjoint(metrics),
            "one candidate has no diversity or calibration",
            "-m 10",
        )
        compared = "consensus" in self.rank or not _OF_ALL.isdisjoint(metrics)
        chosen = self.candidates or config.task.candidates
        return replace(
            self,
            metrics=metrics,
            tau=tuple(sampling.temperature for sampling in filled),
            candidates=m,
            fit=task_named(config.task.name).enlarges and not chosen and not compared,
        )

    @property
    def log(self) -> Path | None:
        """The file for rows, if any."""
        if self.save_images is None:
            return None
        return Path(self.save_images) / "evaluate.jsonl"

    @property
    def whole(self) -> bool:
        """Whether images keep their size, and only the kept candidates are measured."""
        return self.protocol.whole

    @property
    def sets(self) -> list[str]:
        """The metrics that compare sets."""
        return needing("sets", among=self.metrics)

    @property
    def of_samples(self) -> list[str]:
        """The metrics of all M samples together, of a protocol for superres."""
        return needing("samples", among=self.metrics)

    @property
    def m(self) -> int:
        """M; `of` has filled it in."""
        assert self.candidates is not None
        return self.candidates

    @property
    def cells(self) -> list[Cell]:
        """All settings of the sweep. For whole images, temperature 0 has only one, because all its
        candidates are alike."""
        if set(self.metrics) <= {"bpd"}:
            return []
        cells = []
        for tau in self.tau:
            if self.whole and not any(tau.values):
                cells.append(Cell(tau, 1, 1, self.rank[0]))
                continue
            for keep, rank in itertools.product(self.keep, self.rank):
                cells.append(Cell(tau, self.m, keep, rank))
        return cells

    @property
    def draws(self) -> dict[Temperature, int]:
        """The number of candidates to sample at each temperature."""
        return {cell.tau: cell.candidates for cell in self.cells}

    def departures(self, images: int) -> list[str]:
        """A note on how a run on `images` images departs from the paper's table, if it does."""
        if self.protocol.images is None:
            return []
        paper = Settings(protocol=self.protocol)
        ours = replace(self, limit=images)
        changed = []
        for name in ("tau", "candidates", "keep", "rank", "limit"):
            if getattr(ours, name) != getattr(paper, name):
                changed.append(name)
        if not changed:
            return []
        names = ", ".join(changed)
        return [f"other settings than those of {self.protocol.name}: {names}"]

    def as_json(self) -> dict[str, Any]:
        record: dict[str, Any] = {
            "taus": [tau.as_json() for tau in self.tau],
            "candidates": self.candidates,
            "keep": list(self.keep),
            "metrics": list(self.metrics),
            "seed": self.seed,
            "noise_samples": self.noise_samples,
            "ranks": list(self.rank),
        }
        if self.consistent is not None:
            record["consistent"] = self.consistent
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
    if protocol.masks:
        needs.append("masks")
    return needing(*needs)


def _several(given: Any, flag: str, kind: Callable[[Any], Any]) -> tuple[Any, ...]:
    """Convert one value, several, or a comma-separated text to a tuple without duplicates."""
    parts = given.split(",") if isinstance(given, str) else given
    if isinstance(given, int | float | Temperature):
        parts = [given]
    try:
        return tuple(dict.fromkeys(map(kind, parts or ())))
    except ValueError as error:
        raise usage_error(f"{flag} is {given!r}", f"{flag} 1, or 1,10") from error
