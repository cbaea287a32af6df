"""The settings for drawing and choosing candidates: one record, with defaults and checks."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TypedDict

from .config import Config, Extent, Tau, Temperature
from .errors import check_usage
from .records import Table

RANKS = ("likelihood", "consensus", "none")
SEEDS = 2**32  # a CPU generator uses 32 bits of its seed
_FIT = 750_000  # pixels of all candidates of an image together, if M is not given


class SamplingOptions(TypedDict, total=False):
    """Settings that are keywords of functions, beside tau, M, N and the seed."""

    rank: str | None
    consistent: bool | None
    precision: str | None


@dataclass(frozen=True)
class Sampling:
    """Settings for any model and task. The command line's flags have the same names.

    Only `of` decides the default tau and M.

    Examples:
        >>> from caflow_cli import Config
        >>> from caflow_cli.sampling import Sampling
        >>> sampling = Sampling(tau=0.8).of(Config())
        >>> str(sampling.temperature), sampling.candidates
        ('0.8', 10)
    """

    tau: Tau | None = None  # temperature; None: the model's, else the task's
    candidates: int | None = (
        None  # M; None: the model's, else the task's, or what fits into 0.75 megapixels
    )
    keep: int = 1  # N, how many of the M are kept
    seed: int = 0  # candidate k is drawn with seed + k
    rank: str | None = None  # ranking rule, one of RANKS; None: "likelihood" of what is scored
    # superres: project each candidate to an image that shrinks to the input; None: the model's.
    consistent: bool | None = None
    precision: str | None = None  # of the nets while drawing: float32 (None) or bf16

    @property
    def temperature(self) -> Temperature:
        """tau as a `Temperature`; it must have been given, or filled in by `of`."""
        assert self.tau is not None
        return Temperature.of(self.tau)

    def check(self) -> None:
        """Raise CaflowError (exit 2) for values that no model accepts, before one is loaded."""
        keep = self.keep
        seed = self.seed
        m = max(1, keep) if self.candidates is None else self.candidates
        if self.tau is not None:
            Temperature.of(self.tau)
        check_usage(1 <= m <= SEEDS, f"cannot draw {m} candidates", "-m 10")
        check_usage(keep >= 1, f"cannot keep {keep} candidates", "-n 1")
        check_usage(keep <= m, f"cannot keep {keep} of {m} candidates", f"-m {keep} -n {keep}")
        check_usage(
            0 <= seed <= SEEDS - m, f"seed {seed} is out of range", f"--seed 0 to {SEEDS} - m"
        )
        check_usage(
            self.precision in (None, "float32", "bf16"),
            f"unknown precision {self.precision!r}",
            "--precision float32 or bf16",
        )
        check_usage(
            self.rank in (None, *RANKS),
            f"cannot rank by {self.rank!r}",
            "--rank likelihood, consensus or none",
        )

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
        from .tasks import ONE_PASS, get_task  # here, so that checking ranges needs no NumPy

        task = get_task(config)
        stated = config.task
        tau = next(tau for tau in (self.tau, stated.tau, task.tau) if tau is not None)
        m = self.candidates
        if m is None:
            m = stated.candidates or task.candidates
            fits = task.enlarges and stated.candidates is None
            if size is not None and (fits or windows) and self.rank != "consensus":
                m = fitting(size, m, self.keep, windows or 1)
        rank = self.rank
        if rank is None and size is not None:
            rank = "none" if m == 1 and math.prod(size) > ONE_PASS else "likelihood"
        consistent = stated.consistent if self.consistent is None else self.consistent
        filled = replace(
            self,
            tau=Temperature.of(tau),
            candidates=m,
            rank=rank,
            consistent=consistent,
            precision=self.precision or "float32",
        )
        filled.check()
        filled.temperature.of_latents(config.flow.latent_scales)
        check_usage(
            not consistent or "consistent" in task.options,
            f"only superres can be consistent, not {task.name}",
            "leave --consistent out",
        )
        return filled

    def as_json(self) -> Table:
        """The filled in settings, as JSON states them."""
        return {
            "tau": self.temperature.as_json(),
            "candidates": self.candidates,
            "keep": self.keep,
            "seed": self.seed,
            "rank": self.rank,
            **({"consistent": True} if self.consistent else {}),
            **({"precision": self.precision} if self.precision != "float32" else {}),
        }


def fitting(size: Extent, most: int, keep: int, windows: int = 1) -> int:
    """M: how many candidates fit into 0.75 megapixels, from N to `most`.

    A candidate has that height and width, or, for a hole, a number of windows of that size.
    """
    return min(most, max(keep, _FIT // (windows * math.prod(size))))


def check_noise_samples(noise_samples: int) -> None:
    check_usage(
        noise_samples >= 1, f"cannot use {noise_samples} noise samples", "--noise-samples 1"
    )
