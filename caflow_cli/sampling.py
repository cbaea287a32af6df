"""The settings for drawing and choosing candidates: one record, with defaults and checks.

A field is a keyword of Python, an option of the commands, and a value in JSON; its annotation says
all of it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Annotated, TypedDict

from .config import Config, Extent, Tau, Temperature
from .errors import check_usage
from .records import Complaint, NonNegative, Setting, Table, check, number, one_of, settings

if TYPE_CHECKING:
    from .tasks import Task

RANKS = ("likelihood", "consensus", "none")
SEEDS = 2**32  # a CPU generator uses 32 bits of its seed
SEED_STEP = 1_000_003  # between the seeds of successive images or fields
_FIT = 750_000  # pixels of all candidates of an image together, if M is not given
_PANEL = "Sampling"

_M = Annotated[int, number(ge=1, le=SEEDS, said=Complaint("cannot draw {} candidates", "-m 10"))]
_N = Annotated[int, number(ge=1, said=Complaint("cannot keep {} candidates", "-n 1"))]
_Seed = Annotated[
    int, number(ge=0, said=Complaint("seed {} is out of range", f"--seed 0 to {SEEDS} - m"))
]
_Precision = Annotated[
    str,
    one_of(("float32", "bf16"), Complaint("unknown precision {}", "--precision float32 or bf16")),
]
RankRule = Annotated[
    str, one_of(RANKS, Complaint("cannot rank by {}", "--rank likelihood, consensus or none"))
]
NOISE = Setting(
    "--noise-samples K", "Fixed noise samples; K > 1 gives a standard error.", default=1
)
NoiseSamples = Annotated[
    int, number(ge=1, said=Complaint("cannot use {} noise samples", "--noise-samples 1")), NOISE
]


def seed_of(number: int, first: int = 0) -> int:
    """The first seed of the image or field of that number, from 0, if the first has `first`."""
    return (first + SEED_STEP * number) % SEEDS


@dataclass(frozen=True)
class Ensemble:
    """The settings that decide how candidates are distributed, on which their intervals depend."""

    tau: Annotated[
        Tau | None,
        Setting(
            "--tau T",
            "Temperature: lower is smoother, 1 samples the model's distribution. 0.9/0.7/0.5: one "
            "per scale, finest first; longer lists, per latent. auto: a field of rain chooses "
            "(docs/fields.md). Default: the model's.",
            line=Annotated[
                list[NonNegative],
                (("minItems", 1),),
                "Temperature: one value, or a shape: one value per scale, finest first, or one per "
                "latent.",
            ],
        ),
    ] = None
    candidates: Annotated[
        _M | None,
        Setting(
            "--candidates -m M",
            "Number to draw. Default: the model's, else the task's, but what fits: in superres "
            "all ten up to 0.075 megapixels of result, one above 0.375; fewer for holes of many "
            "windows.",
        ),
    ] = None
    consistent: Annotated[
        bool | None,
        Setting(
            "--consistent/--no-consistent",
            "Before scoring, project each candidate to a nearby image that downsamples to the "
            "input within one level, except where values are clipped. Default: as the model "
            "states. With --scale, this holds before resizing; above 64 megapixels it is skipped.",
            _PANEL,
            commands=("superres", "calibrate"),
            of="images",
            line=Annotated[
                bool, "superres: whether candidates were projected to be consistent with the input."
            ],
            omitted=False,
        ),
    ] = None
    precision: Annotated[
        _Precision | None,
        Setting(
            "--precision P",
            "float32 (default) or bf16, which samples faster on GPUs; on CPUs it gains little or "
            "nothing. Scores stay float32.",
            "Model",
            line=Annotated[
                _Precision, "Of networks during sampling. Scores are always those of float32."
            ],
            omitted="float32",
        ),
    ] = None

    def __post_init__(self) -> None:
        check(self)

    @property
    def temperature(self) -> Temperature:
        """tau, which is given, or filled in by `Sampling.of`."""
        assert isinstance(self.tau, Temperature)
        return self.tau

    @property
    def ensemble(self) -> Table:
        """These settings by name."""
        return {field.name: getattr(self, field.name) for field in fields(Ensemble)}

    @property
    def bf16(self) -> bool:
        """Whether networks compute in bfloat16 while candidates are drawn."""
        return self.precision == "bf16"

    @property
    def options(self) -> str:
        """These settings, filled in, as options of a command, without those at their default."""
        text = f"--tau {self.temperature} -m {self.candidates}"
        text += " --consistent" if self.consistent else ""
        return f"{text} --precision bf16" if self.bf16 else text

    def unlike(self, other: Ensemble) -> list[str]:
        """The options that are given here and have another value there."""
        negative = "--no-consistent" if other.consistent else "--consistent"
        names = ("--tau", "-m", negative, "--precision")
        pairs = zip(names, self.ensemble.values(), other.ensemble.values(), strict=True)
        return [name for name, mine, its in pairs if mine is not None and mine != its]


@dataclass(frozen=True)
class Sampling(Ensemble):
    """The settings for drawing and choosing candidates; those that are open are None.

    Only `of` decides the default tau and M.

    Examples:
        >>> from caflow_cli import Config
        >>> from caflow_cli.sampling import Sampling
        >>> sampling = Sampling(tau=0.8).of(Config())
        >>> str(sampling.temperature), sampling.candidates
        ('0.8', 10)

    Raises:
        CaflowError: (exit 2) no model accepts a value.
    """

    keep: Annotated[
        _N | None,  # N, of the M
        Setting("--keep -n N", "Number of best to write. Default: 1; fields: all."),
    ] = None
    seed: Annotated[_Seed, Setting("--seed S", "Random seed; candidate k uses S + k.")] = 0
    rank: Annotated[
        RankRule | None,
        Setting(
            "--rank BY",
            "Rank by likelihood, consensus (closest to all others) or none (by seed). Default: "
            "likelihood; a single candidate drawn in tiles is scored only if --rank is given.",
            _PANEL,
            line=Annotated[RankRule, "The rule that ordered the candidates."],
        ),
    ] = None

    def check(self, m: int | None = None) -> None:
        """Raise CaflowError (exit 2) for values that no model accepts together, with M or `m`."""
        keep = self.keep or 1
        m = m or self.candidates or keep
        check_usage(keep <= m, f"cannot keep {keep} of {m} candidates", f"-m {keep} -n {keep}")
        check_usage(
            self.seed <= SEEDS - m, f"seed {self.seed} is out of range", f"--seed 0 to {SEEDS} - m"
        )

    def most(self, config: Config) -> int:
        """M before it is reduced to what fits: as given, else the model's, else its task's."""
        from .tasks import get_task  # here, so that checking ranges needs no NumPy

        return self.candidates or config.task.candidates or get_task(config).candidates

    def task(self, config: Config) -> Task:
        """The task of a model, whose candidates are consistent if these settings say so.

        CaflowError (exit 2) if the model does not support a setting.
        """
        from .tasks import get_task

        task = get_task(config)
        if self.tau is not None and not (self.temperature.is_auto and task.chooses_tau):
            self.temperature.of_latents(config.flow.latent_scales)
        self.check(self.most(config))
        check_usage(
            not self.consistent or "consistent" in task.options,
            "--consistent: not for fields, whose means are exact"
            if task.is_ensemble
            else f"only superres can be consistent, not {task.name}",
            "leave --consistent out",
        )
        check_usage(
            not (task.is_ensemble and self.rank == "consensus"),
            "fields cannot be ranked by consensus",
            "--rank none",
        )
        return task.made_consistent(self.consistent)

    def of(
        self, config: Config, size: Extent | None = None, windows: int | None = None
    ) -> Sampling:
        """Fill in all settings from the model's config, else from its task, and check them.

        If neither states M, superres reduces it by `fitting`; for a hole, M is reduced unless it is
        stated here. By consensus, M is not reduced. Without `size`, M is not reduced, and the rule
        is not filled in, because a single candidate in tiles has none.

        Args:
            config: The model's.
            size: The height and width that the model draws (`Task.model_size`).
            windows: For a hole: how many windows of that size are drawn.
        """
        task = self.task(config)
        stated = config.task
        m = self.most(config)
        if self.candidates is None and size is not None and self.rank != "consensus":
            fits = task.enlarges and stated.candidates is None
            m = fitting(size, m, self.keep or 1, windows or 1) if fits or windows else m
        keep = self.keep or (m if task.is_ensemble else 1)
        rank = self.rank
        if rank is None and size is not None:
            alone = m == 1 and math.prod(size) > task.one_pass
            rank = "none" if alone or (task.is_ensemble and keep == m) else "likelihood"
        return replace(
            self,
            tau=next(tau for tau in (self.tau, stated.tau, task.tau) if tau is not None),
            candidates=m,
            keep=keep,
            rank=rank,
            consistent=stated.consistent if self.consistent is None else self.consistent,
            precision=self.precision or "float32",
        )

    def filled_from(self, other: Ensemble) -> Sampling:
        """What is open as another record has it."""
        return replace(
            self, **{k: v for k, v in other.ensemble.items() if getattr(self, k) is None}
        )

    def as_json(self) -> Table:
        """The filled in settings, as JSON states them."""
        kept = {
            name: getattr(self, name)
            for name, (_, setting) in settings(Sampling).items()
            if getattr(self, name) != setting.omitted
        }
        return kept | {"tau": self.temperature.as_json()}


class SamplingKeywords(TypedDict, total=False):
    """The settings that are keywords of `restore` beside tau, M, N and the seed."""

    rank: str | None
    consistent: bool | None
    precision: str | None


def fitting(size: Extent, most: int, keep: int, windows: int = 1) -> int:
    """M: how many candidates fit into 0.75 megapixels, from N to `most`.

    A candidate has that height and width, or, for a hole, a number of windows of that size.
    """
    return min(most, max(keep, _FIT // (windows * math.prod(size))))


def strength_of(grain: str | float) -> float:
    """The strength of grain that is asked for; CaflowError (exit 2) if it is none."""
    try:
        strength = float(grain)
    except ValueError:
        strength = 0.0
    check_usage(
        0 < strength <= 64,
        f"grain is {grain!r}",
        "auto, off, or a standard deviation in levels, such as 6",
    )
    return strength
