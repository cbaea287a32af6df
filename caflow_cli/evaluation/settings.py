"""The settings of a model's evaluation: as users give them, and filled in."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypedDict

from ..config import Config, Extent, Tau, Temperature
from ..errors import check_usage, usage_error
from ..records import (
    Complaint,
    Parsed,
    Setting,
    Table,
    check,
    checked,
    keywords,
    number,
    one_of,
    plain,
    settings,
    short,
)
from ..sampling import NOISE, NoiseSamples, RankRule, Sampling, fitting
from .kinds import Cell, Crops, kind_of, offered_metrics
from .metrics import Weights, choose_metrics, needing
from .protocols import NO_PROTOCOL, PROTOCOLS, Protocol, get_protocol

LOG = "evaluate.jsonl"  # the file of rows, in the folder of saved images
# Metrics that need several candidates, and those that need all M.
_OF_SEVERAL = {"diversity", "calibration", "crps", "rank", *needing("samples")}
_OF_ALL = {"likelihood", *_OF_SEVERAL}
_OF_FIELDS = needing("fields")


_PANEL = "A model on data"
_PAPER = ", ".join(name for name, protocol in PROTOCOLS.items() if not protocol.whole)
_WHOLE = ", ".join(name for name, protocol in PROTOCOLS.items() if protocol.whole)
_Limit = Annotated[int, number(ge=1, said=Complaint("--limit is {}", "--limit 10"))]
_Inputs = Annotated[
    str, one_of(("clean", "web", "photo"), Complaint("inputs is {}", "clean, web or photo"))
]
_LIMIT = Setting("--limit COUNT", "Use only the first COUNT images.", _PANEL)


def _several(of: Callable[[Any], Any]) -> Parsed:
    """One value, a sequence of values, or a text with commas: a tuple of the distinct, each parsed
    by `of`. None and what is empty are an empty tuple.
    """

    def parse(value: Any) -> tuple[Any, ...]:
        parts = plain("" if value is None else value)
        if isinstance(parts, str):
            parts = parts.split(",") if parts else ()
        parts = parts if isinstance(parts, Iterable) else [parts]
        return tuple(dict.fromkeys(map(of, parts)))

    return Parsed(parse, "a value, or several")


def _count(n: Any) -> int:
    """N, which may be a text."""
    try:
        found: int = checked(int, int(n) if isinstance(n, str) else n, "keep")
    except ValueError:
        raise usage_error(f"-n is {short(n)}", "-n 1, or 1,10") from None
    return found


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
        _Limit | None, _LIMIT
    ]
    protocol: Annotated[  # its settings are defaults of the others
        Protocol | str | None,
        Setting(
            "--protocol NAME",
            f"{_PAPER}: the paper's settings, with its results. {_WHOLE}: whole images at their "
            "own size, with results of common methods (docs/evaluation.md).",
            of="images",
        ),
    ]
    masks: Annotated[  # folder or zip
        str | Path | None,
        Setting("--masks DATA", "For --protocol repair, white inside holes.", _PANEL, of="images"),
    ]
    tau: Annotated[  # a shape is a text or a `Temperature`; None: the model's
        Tau | Sequence[Tau] | None,
        _several(Temperature.of),
        Setting(
            "--tau T,…",
            "Temperatures, or shapes (0.9/0.7/0.5); auto: each day of rain chooses. Default: the "
            "model's.",
            _PANEL,
        ),
    ]
    candidates: Annotated[  # M; None: as for tau
        int | None,
        Setting("--candidates -m M", "How many to draw. Default: the model's.", _PANEL),
    ]
    keep: Annotated[  # N of the M are measured; None: 1
        int | str | Sequence[int] | None,
        _several(_count),
        Setting(
            "--keep -n N,…", "How many of the best to measure. Default: 1.", _PANEL, of="images"
        ),
    ]
    rank: Annotated[  # rules that choose the N
        str | Sequence[str] | None,
        _several(partial(checked, RankRule, path="rank")),
        Setting(
            "--rank BY,…",
            "How to rank them: likelihood, consensus or none.",
            _PANEL,
            default="likelihood",
            of="images",
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
            of="images",
        ),
    ]
    # K, for all log-likelihoods
    noise_samples: Annotated[NoiseSamples, NOISE._replace(of="images")]
    batch_size: Annotated[
        int | None, Setting("--batch-size B", "Candidates to draw at a time.", _PANEL, of="images")
    ]
    # superres: inputs are shrunk by BICUBIC, like web images (protocol sr4-web), or like photos in
    # training.
    inputs: Annotated[_Inputs, Setting(default="clean", of="images")]
    weights: Annotated[
        Weights, Setting(default=Weights(), of="images")
    ]  # of the networks of metrics
    save_images: Annotated[
        str | Path | None,
        Setting(
            "--save-images DIR",
            "Write the measured candidates, and a sheet of the first 20 images.",
            _PANEL,
            of="images",
        ),
    ]
    skip_existing: Annotated[
        bool,
        Setting(
            "--skip-existing", "Resume an interrupted run.", _PANEL, default=False, of="images"
        ),
    ]


def check_of_fields(options: EvaluateOptions) -> None:
    """Raise CaflowError (exit 2) for options that an evaluation of fields does not have."""
    for name, (_, setting) in settings(EvaluateOptions).items():
        applies = setting.of != "images" or options.get(name, setting.default) == setting.default
        hint = f"leave {setting.option.partition(' ')[0] or name} out"
        check_usage(applies, f"an evaluation of fields has no {name}", hint)


@dataclass(frozen=True, kw_only=True)
class CalibrationImages:
    """The images of a calibration, and how a model's inputs are made of them."""

    data: Annotated[
        str | Path,
        Setting(
            "--data DATA",
            "Images, as for `train --data`, of the kind that you restore, and unseen in training. "
            "Of a set with train/, val/ or test/, val/ is used; if the model learned from it, the "
            "half that has not chosen the model.",
        ),
    ]
    split: Annotated[str | None, Setting("--split NAME", "train, val or test, instead of val.")] = (
        None  # what a model that learned from the set held out; else val/, if there is one, or all
    )
    limit: Annotated[_Limit | None, _LIMIT._replace(panel=None)] = None
    crop: Annotated[
        Annotated[int, number(ge=1, said=Complaint("--crop is {}", "--crop 64"))] | None,
        Setting(
            "--crop N",
            "Use the central N x N pixels of each image. Default: whole images.",
        ),
    ] = None
    # Side of the squares to which images are downsampled instead, as in some trainings.
    size: Annotated[int | None, Setting()] = None
    inputs: Annotated[
        _Inputs | None,
        Setting(
            "--inputs HOW",
            "superres: how inputs are made of images: clean (bicubic), web (blurred, noisy, JPEG) "
            "or photo (random). Default: as in the model's training.",
        ),
    ] = None

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of a run, checked: as given, else as the protocol states.

    `filled` takes what is left open, None or empty, from the model, else from its task.
    """

    given: EvaluateOptions  # all of them
    protocol: Protocol
    metrics: tuple[str, ...]
    tau: tuple[Temperature, ...]
    candidates: int | None
    keep: tuple[int, ...]
    rank: tuple[str, ...]
    kind: Crops = field(default_factory=Crops)
    fit: bool = False  # whether M is reduced to `fitting` for large images

    @classmethod
    def of(cls, metrics: str | Sequence[str], options: EvaluateOptions) -> Settings:
        """Check what no model is needed for.

        Raises:
            CaflowError: (exit 2) a keyword, a metric or the protocol is unknown, or a value is out
                of range.
        """
        defaults = {
            name: setting.default for name, (_, setting) in settings(EvaluateOptions).items()
        }
        given: Any = keywords({**defaults, **options}, EvaluateOptions)
        named = given["protocol"]
        protocol = get_protocol(named) if isinstance(named, str) else named or NO_PROTOCOL
        named_too = _several(partial(checked, str, path="metrics")).of(metrics)
        names = (*named_too, *protocol.metrics)
        m = protocol.candidates if given["candidates"] is None else given["candidates"]
        run = cls(
            given=given,
            protocol=protocol,
            metrics=choose_metrics(names, offered_metrics(protocol), _OF_FIELDS) if names else (),
            tau=given["tau"] or tuple(map(Temperature.of, protocol.tau)),
            candidates=m,
            keep=given["keep"] or tuple(protocol.keep),
            rank=given["rank"] or ("likelihood",),
        )
        for rank, keep in itertools.product(run.rank, run.keep):
            Sampling(candidates=m, keep=keep, rank=rank).check()
        check_usage(
            bool(given["masks"]) == protocol.masks,
            "--masks is for --protocol repair, which needs damage masks",
            "--protocol repair --masks DIR, white inside holes",
        )
        return run

    def filled(self, config: Config) -> Settings:
        """All settings for a model; CaflowError (exit 2) if one does not fit it."""
        from ..tasks import task_named  # imported here, so that `--help` needs no NumPy

        metrics = self.metrics or ("lpips", "rmse")
        strange = [name for name in metrics if name in _OF_FIELDS]
        check_usage(not strange, f"images have no {' and no '.join(strange)}", "--metric crps")
        fixed = self.candidates or config.task.candidates
        open_ = replace(self.sampling, candidates=self.candidates, keep=max(self.keep))
        samplings = [replace(open_, tau=tau).of(config) for tau in self.tau or (None,)]
        m = samplings[0].candidates
        check_usage(
            m != 1 or _OF_SEVERAL.isdisjoint(metrics),
            "one candidate has no diversity, calibration, crps or rank",
            "-m 10",
        )
        compared = "consensus" in self.rank or not _OF_ALL.isdisjoint(metrics)
        return replace(
            self,
            metrics=metrics,
            tau=tuple(sampling.temperature for sampling in samplings),
            candidates=m,
            kind=kind_of(self.protocol, config.task),
            fit=task_named(config.task.name).enlarges and not fixed and not compared,
        )

    @property
    def m(self) -> int:
        """M, as given, or as `filled` has it."""
        assert self.candidates is not None
        return self.candidates

    @property
    def limit(self) -> int | None:
        """How many images are used, from the first on; None: all."""
        given = self.given["limit"]
        return self.protocol.images if given is None else given

    @property
    def inputs(self) -> str:
        """How a superres model's inputs are made of images."""
        return self.protocol.inputs or self.given["inputs"]

    @property
    def folder(self) -> Path | None:
        """Where images and rows are saved, if they are."""
        folder = self.given["save_images"]
        return None if folder is None else Path(folder)

    @property
    def sampling(self) -> Sampling:
        """What the task and all requests share."""
        return Sampling(consistent=self.given["consistent"])

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
        return self.kind.cells(self.tau, self.m, self.keep, self.rank)

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
            "seed": self.given["seed"],
            "noise_samples": self.given["noise_samples"],
            "ranks": list(self.rank),
        }
        if self.given["consistent"] is not None:
            record["consistent"] = self.given["consistent"]
        if self.inputs != "clean":
            record["inputs"] = self.inputs
        if self.fit:
            record["fit"] = True
        return record
