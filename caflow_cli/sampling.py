"""How candidates are drawn and chosen: one record, with its defaults and its checks."""

from __future__ import annotations

from dataclasses import dataclass, replace

from .config import Config
from .errors import EXIT_USAGE, CaflowError
from .tasks import get_task

__all__ = ["RANKS", "Sampling", "check_noise_samples"]

RANKS = ("likelihood", "none")
_SEEDS = 2**32  # a CPU generator uses 32 bits of its seed


@dataclass(frozen=True)
class Sampling:
    """What may be asked of any model and task. The command line's flags have these names."""

    tau: float | None = None  # temperature; None: the model's, else the task's
    candidates: int | None = None  # M; None: likewise
    keep: int = 1  # N, how many of the M
    seed: int = 0  # candidate k draws from generator seed + k
    noise_samples: int = 1  # K of every score
    rank: str = "likelihood"  # what orders candidates: one of RANKS; "none" leaves the order of k
    batch_size: int | None = None  # candidates at a time; None: as many as fit well into memory
    consistent: bool = False  # superres: project each candidate to what shrinks to the input

    def check(self) -> None:
        """Refuse what no model can draw, before anything is loaded. CaflowError, exit code 2."""
        tau, m = self.tau, self.candidates if self.candidates is not None else max(1, self.keep)
        _require(
            tau is None or 0 <= tau < float("inf"), f"tau is {tau}", "--tau 0.5, or any from 0 up"
        )
        _require(1 <= m <= _SEEDS, f"cannot draw {m} candidates", "-m 10")
        _require(self.keep >= 1, f"{self.keep} pictures to keep are too few", "-n 1")
        _require(
            self.keep <= m,
            f"cannot keep {self.keep} of {m} candidates",
            f"-m {self.keep} -n {self.keep}",
        )
        _require(
            0 <= self.seed <= _SEEDS - m,
            f"seed {self.seed} is out of range",
            f"--seed 0, or any with seed + m up to {_SEEDS}",
        )
        _require(
            self.batch_size is None or self.batch_size >= 1,
            f"batch size {self.batch_size}",
            "--batch-size 10",
        )
        check_noise_samples(self.noise_samples)
        _require(self.rank in RANKS, f"cannot rank by {self.rank!r}", "--rank likelihood or none")

    def of(self, config: Config) -> Sampling:
        """The same, checked, with tau and M filled in: the model's own, else its task's."""
        task, own = get_task(config), config.task
        tau = self.tau
        if tau is None:
            tau = task.tau if own.tau is None else own.tau
        candidates = self.candidates
        if candidates is None:
            candidates = own.candidates or task.candidates
        filled = replace(self, tau=tau, candidates=candidates)
        filled.check()
        if self.consistent and task.name != "superres":
            raise CaflowError(
                f"only superres can be consistent, not {task.name}",
                "leave --consistent out",
                EXIT_USAGE,
            )
        return filled


def check_noise_samples(noise_samples: int) -> None:
    """CaflowError, exit code 2, for fewer than one."""
    _require(noise_samples >= 1, f"{noise_samples} noise samples are too few", "--noise-samples 1")


def _require(condition: bool, message: str, hint: str) -> None:
    if not condition:
        raise CaflowError(message, hint, EXIT_USAGE)
