"""The settings of a model's evaluation: as users give them, and filled in."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, TypedDict

from ..config import Config, Extent, Tau, Temperature
from ..data.split import Split
from ..errors import check_usage
from ..records import Said, Setting, Several, Table, keywords, number, one_of, settings
from ..sampling import NoiseSamples, RankRule, Sampling, fitting
from .kinds import Cell, Crops, kind_of, offered_metrics
from .metrics import Weights, choose_metrics, needing
from .protocols import NO_PROTOCOL, PROTOCOLS, Protocol, get_protocol

LOG = "evaluate.jsonl"  # the file of rows, in the folder of saved images
# Metrics that need several candidates, and those that need all M.
_OF_SEVERAL = {"diversity", "calibration", "crps", "rank", *needing("samples")}
_OF_ALL = {"likelihood", *_OF_SEVERAL}


_PANEL = "A model on data"
_PAPER = ", ".join(name for name, protocol in PROTOCOLS.items() if not protocol.whole)
_WHOLE = ", ".join(name for name, protocol in PROTOCOLS.items() if protocol.whole)
_Limit = Annotated[int, number(ge=1, said=Said("--limit is {}", "--limit 10"))]
_Inputs = Annotated[
    str, one_of(("clean", "web", "photo"), Said("inputs is {}", "clean, web or photo"))
]


class EvaluateOptions(TypedDict, total=False):
    """The settings that users give to `evaluate`; the rest have defaults.

    Several temperatures, N or rules make a sweep over their combinations: as a sequence, or as a
    comma-separated text. Candidates are sampled once per temperature.
    """

    split: Annotated[  # None: `test/` if there is one, else everything
        str | None,
        Setting(
            "--split NAME",
            "train, val, test, or choose or calibrate, the halves of val. Default: test/, else "
            "all.",
            _PANEL,
        ),
    ]
    limit: Annotated[  # None: as the protocol says, else all
        _Limit | None, Setting("--limit COUNT", "Use only the first COUNT images.", _PANEL)
    ]
    protocol: Annotated[  # its settings are defaults of the others
        Protocol | str | None,
        Setting(
            "--protocol NAME",
            f"{_PAPER}: the paper's settings, with its results. {_WHOLE}: whole images at their "
            "own size, with results of common methods (docs/evaluation.md).",
        ),
    ]
    masks: Annotated[  # folder or zip
        str | Path | None,
        Setting("--masks DATA", "For --protocol repair, white inside holes.", _PANEL),
    ]
    tau: Annotated[  # a shape is a text or a `Temperature`; None: the model's
        Tau | Sequence[Tau] | None,
        Several(Tau),
        Setting(
            "--tau T,…", "Temperatures, or shapes (0.9/0.7/0.5). Default: the model's.", _PANEL
        ),
    ]
    candidates: Annotated[  # M; None: as for tau
        int | None,
        Setting("--candidates -m M", "How many to draw. Default: the model's.", _PANEL),
    ]
    keep: Annotated[  # N of the M are measured; None: 1
        int | str | Sequence[int] | None,
        Several(int, int, Said("-n is {}", "-n 1, or 1,10")),
        Setting("--keep -n N,…", "How many of the best to measure. Default: 1.", _PANEL),
    ]
    rank: Annotated[  # rules that choose the N
        str | Sequence[str] | None,
        Several(RankRule),
        Setting(
            "--rank BY,…",
            "How to rank them: likelihood, consensus or none.",
            _PANEL,
            default="likelihood",
        ),
    ]
    seed: Annotated[
        int,
        Setting(
            "--seed S", "Candidate k of image r has seed S + 1,000,003 r + k.", _PANEL, default=0
        ),
    ]  # modulo 2^32
    # superres: whether candidates are projected to images that shrink to the input.
    consistent: Annotated[
        bool | None,
        Setting(
            "--consistent/--no-consistent",
            "As for superres. Default: as the model states.",
            _PANEL,
        ),
    ]
    noise_samples: NoiseSamples  # K, for all log-likelihoods
    batch_size: Annotated[
        int | None, Setting("--batch-size B", "Candidates to draw at a time.", _PANEL)
    ]
    # superres: inputs are shrunk by BICUBIC, like web images (protocol sr4-web), or like photos in
    # training.
    inputs: Annotated[_Inputs, Setting(default="clean")]
    weights: Annotated[Weights, Setting(default=Weights())]  # of the networks of metrics
    save_images: Annotated[
        str | Path | None,
        Setting(
            "--save-images DIR",
            "Write the measured candidates, and a sheet of the first 20 images.",
            _PANEL,
        ),
    ]
    skip_existing: Annotated[
        bool, Setting("--skip-existing", "Resume an interrupted run.", _PANEL, default=False)
    ]


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
    inputs: str
    weights: Weights
    save_images: Path | None
    skip_existing: bool

    @property
    def log(self) -> Path | None:
        """The file for rows, if any."""
        return None if self.save_images is None else self.save_images / LOG

    @property
    def sampling(self) -> Sampling:
        """What the task and all requests share."""
        return Sampling(consistent=self.consistent)

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


def check_options(metrics: str | Sequence[str], options: EvaluateOptions) -> Table:
    """Check what no model is needed for, before one is loaded; return all settings.

    Those that are open are None or empty, unless the protocol states them.

    Raises:
        CaflowError: (exit 2) a keyword, a metric or the protocol is unknown, or a value is out of
            range.
    """
    defaults = {name: setting.default for name, (_, setting) in settings(EvaluateOptions).items()}
    stated = keywords({**defaults, **options}, EvaluateOptions)
    named = stated["protocol"]
    protocol = get_protocol(named) if isinstance(named, str) else named or NO_PROTOCOL
    _metrics(metrics, protocol)
    of_protocol: Table = {
        "protocol": protocol,
        "tau": stated["tau"] or tuple(map(Temperature.of, protocol.tau)),
        "keep": stated["keep"] or tuple(protocol.keep),
        "rank": stated["rank"] or ("likelihood",),
    }
    if stated["candidates"] is None:
        of_protocol["candidates"] = protocol.candidates
    stated |= of_protocol
    for rank, keep in itertools.product(stated["rank"], stated["keep"]):
        Sampling(candidates=stated["candidates"], keep=keep, rank=rank).check()
    check_usage(
        bool(stated["masks"]) == protocol.masks,
        "--masks is for --protocol repair, which needs damage masks",
        "--protocol repair --masks DIR, white inside holes",
    )
    return stated


def resolve(config: Config, metrics: str | Sequence[str], options: EvaluateOptions) -> Settings:
    """Fill in what the options leave open: from the protocol, else the model, else its task.

    Raises:
        CaflowError: (exit 2) as for `check_options`, or a value does not fit the model.
    """
    from ..tasks import task_named  # imported here, so that `--help` needs no NumPy

    stated = check_options(metrics, options)
    protocol: Protocol = stated["protocol"]
    chosen = _metrics(metrics, protocol) or ("lpips", "rmse")
    fixed = stated["candidates"] or config.task.candidates
    open_ = Sampling(
        candidates=stated["candidates"], keep=max(stated["keep"]), consistent=stated["consistent"]
    )
    samplings = [replace(open_, tau=tau).of(config) for tau in stated["tau"] or (None,)]
    m = samplings[0].candidates
    assert m is not None, "`of` fills it in"
    check_usage(
        m != 1 or _OF_SEVERAL.isdisjoint(chosen),
        "one candidate has no diversity, calibration, crps or rank",
        "-m 10",
    )
    compared = "consensus" in stated["rank"] or not _OF_ALL.isdisjoint(chosen)
    filled: Table = {
        "kind": kind_of(protocol, config.task),
        "metrics": chosen,
        "tau": tuple(sampling.temperature for sampling in samplings),
        "candidates": m,
        "fit": task_named(config.task.name).enlarges and not fixed and not compared,
        "limit": protocol.images if stated["limit"] is None else stated["limit"],
        "inputs": protocol.inputs or stated["inputs"],
        "save_images": None if stated["save_images"] is None else Path(stated["save_images"]),
    }
    return Settings(**{**stated, **filled})


def _metrics(metrics: str | Sequence[str], protocol: Protocol) -> tuple[str, ...]:
    """The metrics that are asked for; none stand for the default."""
    names = (*Several(str).of(metrics, "metrics"), *protocol.metrics)
    return choose_metrics(names, offered_metrics(protocol)) if names else ()
