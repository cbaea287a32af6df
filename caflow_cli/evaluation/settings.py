"""The settings of a model's evaluation: as users give them, and filled in."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypedDict, TypeVar

from ..config import Config, Extent, Tau, Temperature
from ..data.split import Split
from ..errors import check_usage, usage_error
from ..records import Table, check_names, checked
from ..sampling import NoiseSamples, Sampling, fitting
from .kinds import Cell, Crops, kind_of, offered_metrics
from .metrics import Weights, choose_metrics, needing
from .protocols import NO_PROTOCOL, Protocol, get_protocol

_T = TypeVar("_T")
LOG = "evaluate.jsonl"  # the file of rows, in the folder of saved images
# Metrics that need several candidates, and those that need all M.
_OF_SEVERAL = {"diversity", "calibration", *needing("samples")}
_OF_ALL = {"likelihood", *_OF_SEVERAL}


class EvaluateOptions(TypedDict, total=False):
    """The settings that users give to `evaluate`; the rest have defaults.

    Several temperatures, N or rules make a sweep over their combinations: as a sequence, or as a
    comma-separated text. Candidates are sampled once per temperature.
    """

    tau: Tau | Sequence[Tau] | None  # a shape is a text or a `Temperature`; None: the model's
    candidates: int | None  # M; None: as for tau
    keep: int | str | Sequence[int] | None  # N of the M are measured; None: 1
    rank: str | Sequence[str]  # rules that choose the N, by default likelihood
    seed: int  # candidate k of image r has the seed seed + 1,000,003 r + k, modulo 2^32
    # superres: whether candidates are projected to images that shrink to the input; None: as the
    # model states.
    consistent: bool | None
    noise_samples: int  # K, for all log-likelihoods
    batch_size: int | None  # candidates at a time
    split: Split | None  # None: `test/` if there is one, else everything
    limit: int | None  # use only the first images; None: as the protocol says, else all
    protocol: str | Protocol | None  # its settings are defaults of the others
    masks: str | Path | None  # for a protocol that needs them: folder or zip
    # superres: inputs are shrunk by BICUBIC, like web images (protocol sr4-web), or like photos in
    # training.
    inputs: Literal["clean", "web", "photo"]
    weights: Weights  # of the networks of metrics
    save_images: str | Path | None  # folder for the kept candidates
    skip_existing: bool  # continue an interrupted run in that folder


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of a run, all filled in: see `EvaluateOptions`."""

    kind: Crops
    metrics: tuple[str, ...]
    tau: tuple[Temperature, ...]
    candidates: int
    fit: bool  # whether M is reduced to `fitting` for large images
    keep: tuple[int, ...]
    rank: tuple[str, ...]
    seed: int
    consistent: bool | None
    noise_samples: int
    batch_size: int | None
    split: Split | None
    limit: int | None
    protocol: Protocol
    masks: str | Path | None
    inputs: Literal["clean", "web", "photo"]
    weights: Weights
    save_images: Path | None
    skip_existing: bool

    @property
    def log(self) -> Path | None:
        """The file for rows, if any."""
        return None if self.save_images is None else self.save_images / LOG

    @property
    def sets(self) -> list[str]:
        """The metrics that compare sets."""
        return needing("sets", among=self.metrics)

    @property
    def of_samples(self) -> list[str]:
        """The metrics of all M samples together, of a protocol for superres."""
        return needing("samples", among=self.metrics)

    @property
    def cells(self) -> list[Cell]:
        """All settings of the sweep."""
        if set(self.metrics) <= {"bpd"}:
            return []
        return self.kind.cells(self.tau, self.candidates, self.keep, self.rank)

    @property
    def draws(self) -> dict[Temperature, int]:
        """The number of candidates to sample at each temperature."""
        return {cell.tau: cell.candidates for cell in self.cells}

    def drawn(self, most: int, size: Extent) -> int:
        """How many of `most` candidates are drawn for an image whose output has that size."""
        return fitting(size, most, max(self.keep)) if self.fit else most

    def departures(self, images: int) -> list[str]:
        """A note on how a run on `images` images departs from the paper's table, if it does."""
        paper = self.protocol
        if paper.images is None:
            return []
        changed = {
            "tau": self.tau != tuple(map(Temperature.of, paper.tau)),
            "candidates": self.candidates != paper.candidates,
            "keep": self.keep != tuple(paper.keep),
            "rank": self.rank != ("likelihood",),
            "limit": images != paper.images,
        }
        names = ", ".join(name for name, differs in changed.items() if differs)
        return [f"other settings than those of {paper.name}: {names}"] if names else []

    def as_json(self) -> Table:
        record: Table = {
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


def check_options(metrics: str | Sequence[str], options: EvaluateOptions) -> Protocol:
    """Check what no model is needed for, before one is loaded; return the protocol.

    Raises:
        CaflowError: (exit 2) a keyword, a metric or the protocol is unknown, or a value is out of
            range.
    """
    check_names(options, EvaluateOptions.__annotations__)
    named = options.get("protocol")
    protocol = get_protocol(named) if isinstance(named, str) else named or NO_PROTOCOL
    _metrics(metrics, protocol)
    _temperatures(options, protocol)
    candidates = _candidates(options, protocol)
    for rank, keep in itertools.product(_ranks(options), _keeps(options, protocol)):
        Sampling(candidates=candidates, keep=keep, rank=rank).check()
    checked(NoiseSamples, options.get("noise_samples", 1), "noise_samples")
    limit = options.get("limit")
    check_usage(limit is None or limit > 0, f"--limit is {limit}", "--limit 10")
    inputs = options.get("inputs", "clean")
    check_usage(inputs in ("clean", "web", "photo"), f"inputs is {inputs!r}", "clean, web or photo")
    check_usage(
        bool(options.get("masks")) == protocol.masks,
        "--masks is for --protocol repair, which needs damage masks",
        "--protocol repair --masks DIR, white inside holes",
    )
    return protocol


def resolve(config: Config, metrics: str | Sequence[str], options: EvaluateOptions) -> Settings:
    """Fill in what the options leave open: from the protocol, else the model, else its task.

    Raises:
        CaflowError: (exit 2) as for `check_options`, or a value does not fit the model.
    """
    from ..tasks import task_named  # imported here, so that `--help` needs no NumPy

    protocol = check_options(metrics, options)
    chosen = _metrics(metrics, protocol) or ("lpips", "rmse")
    ranks = _ranks(options)
    samplings = _samplings(config, options, protocol)
    m = samplings[0].candidates
    assert m is not None, "`of` fills it in"
    check_usage(
        m != 1 or _OF_SEVERAL.isdisjoint(chosen),
        "one candidate has no diversity or calibration",
        "-m 10",
    )
    compared = "consensus" in ranks or not _OF_ALL.isdisjoint(chosen)
    fixed = _candidates(options, protocol) or config.task.candidates
    limit = options.get("limit")
    folder = options.get("save_images")
    return Settings(
        kind=kind_of(protocol, config.task),
        metrics=chosen,
        tau=tuple(sampling.temperature for sampling in samplings),
        candidates=m,
        fit=task_named(config.task.name).enlarges and not fixed and not compared,
        keep=_keeps(options, protocol),
        rank=ranks,
        seed=options.get("seed", 0),
        consistent=options.get("consistent"),
        noise_samples=options.get("noise_samples", 1),
        batch_size=options.get("batch_size"),
        split=options.get("split"),
        limit=protocol.images if limit is None else limit,
        protocol=protocol,
        masks=options.get("masks"),
        inputs=protocol.inputs or options.get("inputs", "clean"),
        weights=options.get("weights", Weights()),
        save_images=None if folder is None else Path(folder),
        skip_existing=options.get("skip_existing", False),
    )


def _samplings(config: Config, options: EvaluateOptions, protocol: Protocol) -> list[Sampling]:
    """The settings of sampling at each temperature, filled in."""
    stated = Sampling(
        candidates=_candidates(options, protocol),
        keep=max(_keeps(options, protocol)),
        consistent=options.get("consistent"),
    )
    taus: Sequence[Temperature | None] = _temperatures(options, protocol) or (None,)
    return [replace(stated, tau=tau).of(config) for tau in taus]


def _candidates(options: EvaluateOptions, protocol: Protocol) -> int | None:
    """M, if it is stated."""
    candidates = options.get("candidates")
    return protocol.candidates if candidates is None else candidates


# --- values that may be several ------------------------------------------------------------------


def _metrics(metrics: str | Sequence[str], protocol: Protocol) -> tuple[str, ...]:
    """The metrics that are asked for; none stand for the default."""
    names = (*_several(metrics, str, "--metric"), *protocol.metrics)
    return choose_metrics(names, offered_metrics(protocol)) if names else ()


def _temperatures(options: EvaluateOptions, protocol: Protocol) -> tuple[Temperature, ...]:
    return _several(options.get("tau"), Temperature.of, "--tau", protocol.tau)


def _keeps(options: EvaluateOptions, protocol: Protocol) -> tuple[int, ...]:
    return _several(options.get("keep"), int, "-n", protocol.keep)


def _ranks(options: EvaluateOptions) -> tuple[str, ...]:
    return _several(options.get("rank"), str, "--rank", ("likelihood",))


def _several(
    value: Any, kind: Callable[[Any], _T], flag: str, default: Iterable[Any] = ()
) -> tuple[_T, ...]:
    """Convert one value, several, or a comma-separated text to a tuple without duplicates."""
    values = value.split(",") if isinstance(value, str) and value else value
    if isinstance(value, int | float | Temperature):
        values = [value]
    try:
        return tuple(dict.fromkeys(map(kind, values or default)))
    except ValueError as error:
        raise usage_error(f"{flag} is {value!r}", f"{flag} 1, or 1,10") from error
