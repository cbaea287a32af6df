"""What may be asked of any task: how warm, how many, from which seed."""

from __future__ import annotations

from ..errors import EXIT_USAGE, CaflowError

__all__ = ["check_noise_samples", "check_sampling"]

_SEEDS = 2**32  # a CPU generator uses 32 bits of its seed


def check_sampling(
    *,
    tau: float | None,
    candidates: int | None,
    keep: int,
    seed: int,
    batch_size: int | None,
    noise_samples: int,
    rank: str,
) -> None:
    """Refuse what cannot be sampled, before anything is loaded. CaflowError, exit code 2."""

    def require(condition: bool, message: str, hint: str) -> None:
        if not condition:
            raise CaflowError(message, hint, EXIT_USAGE)

    require(tau is None or 0 <= tau < float("inf"), f"tau is {tau}", "--tau 0.5, or any from 0 up")
    m = candidates if candidates is not None else max(1, keep)
    require(1 <= m <= _SEEDS, f"cannot draw {m} candidates", "-m 10")
    require(keep >= 1, f"{keep} pictures to keep are too few", "-n 1")
    require(keep <= m, f"cannot keep {keep} of {m} candidates", f"-m {keep} -n {keep}")
    require(
        0 <= seed <= _SEEDS - m,
        f"seed {seed} is out of range",
        f"--seed 0, or any with seed + m up to {_SEEDS}",
    )
    require(batch_size is None or batch_size >= 1, f"batch size {batch_size}", "--batch-size 10")
    check_noise_samples(noise_samples)
    require(rank in ("likelihood", "none"), f"cannot rank by {rank!r}", "--rank likelihood or none")


def check_noise_samples(noise_samples: int) -> None:
    """CaflowError, exit code 2, for fewer than one."""
    if noise_samples < 1:
        raise CaflowError(
            f"{noise_samples} noise samples are too few", "--noise-samples 1", EXIT_USAGE
        )
