"""The settings of a model's evaluation: from flags, else from the protocol, else the defaults."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from ..errors import EXIT_USAGE, CaflowError
from ..evaluation.benchmarks import Benchmark
from ..evaluation.metrics.catalogue import OF_MODELS, choose_metrics
from ..evaluation.protocols import Protocol, get_protocol
from ..temperature import Temperature
from .evaluation_options import DEFAULT_METRICS, ModelOnData

if TYPE_CHECKING:
    from ..data import Split

__all__ = ["ModelSettings", "model_settings"]

_Number = TypeVar("_Number", int, Temperature)


@dataclass(frozen=True)
class ModelSettings:
    """Metrics, draws and data of a model's evaluation; several values are a sweep."""

    metrics: list[str]
    tau: list[Temperature] | None  # None: the model's
    candidates: list[int] | None  # M; None: the model's
    keep: list[int]  # N
    limit: int | None  # the first so many pictures; None: all
    split: Split | None  # None: `test/` where there is one, else every picture
    task: str | None  # None: the model's
    protocol: Protocol | None
    ranks: tuple[str, ...] = ("likelihood",)  # rules that choose the N


def model_settings(
    given: ModelOnData, metrics: Sequence[str], benchmark: Benchmark | None = None
) -> ModelSettings:
    """The settings that flags and protocol make.

    Args:
        given: The options.
        metrics: As typed.
        benchmark: The protocol on whole pictures, if it is one: it decides the task alone.

    Raises:
        CaflowError: (exit 2) a value is invalid, or the protocol is for another task.
    """
    named = None if benchmark is not None else given.protocol
    protocol = None if named is None else get_protocol(named)
    chosen = choose_metrics(
        [*metrics, *(protocol.metrics if protocol else ())], OF_MODELS, DEFAULT_METRICS
    )
    tau = _numbers(given.tau, "--tau", Temperature.of, "0,0.5,1 or 0.9/0.7/0.5, a shape")
    candidates = _numbers(given.candidates, "-m", int, "1,10,30")
    keep = _numbers(given.keep, "-n", int, "1,10,30")
    limit = given.limit
    if protocol is not None:
        tau = [Temperature.of(protocol.tau)] if tau is None else tau
        candidates = [protocol.candidates] if candidates is None else candidates
        keep = list(protocol.keep) if keep is None else keep
        limit = protocol.images if limit is None else limit
    split, task = _split(given.split), _task(given.task, benchmark or protocol)
    ranks = _ranks(given.rank)
    return ModelSettings(chosen, tau, candidates, keep or [1], limit, split, task, protocol, ranks)


def _numbers(
    text: str | None, option: str, kind: Callable[[str], _Number], example: str
) -> list[_Number] | None:
    """Parse a comma-separated list of numbers."""
    if text is None:
        return None
    try:
        return [kind(part) for part in text.split(",")]
    except (ValueError, CaflowError) as error:
        raise CaflowError(f"{option} is {text!r}", f"{option} {example}", EXIT_USAGE) from error


def _ranks(text: str | None) -> tuple[str, ...]:
    """The rules of a comma list."""
    from ..sampling import check_rank

    ranks = ("likelihood",) if text is None else tuple(text.split(","))
    for rank in ranks:
        check_rank(rank)
    return ranks


def _split(name: str | None) -> Split | None:
    splits: dict[str | None, Split | None] = {
        None: None,
        "train": "train",
        "val": "val",
        "test": "test",
    }
    if name not in splits:
        raise CaflowError(f"unknown split {name!r}", "--split test", EXIT_USAGE)
    return splits[name]


def _task(task: str | None, protocol: Protocol | Benchmark | None) -> str | None:
    if protocol is not None:
        if task not in (None, protocol.task):
            raise CaflowError(
                f"protocol {protocol.name} is for {protocol.task}, not {task}",
                f"--task {protocol.task}",
                EXIT_USAGE,
            )
        return protocol.task
    if task is not None:
        from ..tasks import task_named

        task_named(task)
    return task
