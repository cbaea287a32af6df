"""The settings of a model's evaluation: from flags, else from the protocol, else the defaults."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from ..errors import EXIT_USAGE, CaflowError
from ..evaluation.metrics.catalogue import METRICS, choose_metrics
from ..evaluation.protocols import Protocol, get_protocol
from ..evaluation.temperature_search import METRICS_OF_SEARCH
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
    search: tuple[str, ...] = ()  # "tau", "rank": what is searched


def model_settings(given: ModelOnData, metrics: Sequence[str]) -> ModelSettings:
    """The settings that flags and protocol make.

    Args:
        given: The options.
        metrics: As typed.

    Raises:
        CaflowError: (exit 2) a value is invalid, or the protocol is for another task.
    """
    protocol = None if given.protocol is None else get_protocol(given.protocol)
    if given.search_tau or given.search_rank:
        return _search(given, metrics)
    chosen = choose_metrics(
        [*metrics, *(protocol.metrics if protocol else ())], METRICS, DEFAULT_METRICS
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
    split, task = _split(given.split), _task(given.task, protocol)
    ranks = _ranks(given.rank)
    return ModelSettings(chosen, tau, candidates, keep or [1], limit, split, task, protocol, ranks)


def _search(given: ModelOnData, metrics: Sequence[str]) -> ModelSettings:
    """Those of `--search-tau` and `--search-rank`, which are on validation pictures alone."""
    flag = "--search-tau" if given.search_tau else "--search-rank"

    def refuse(message: str, hint: str) -> CaflowError:
        return CaflowError(message, hint, EXIT_USAGE)

    if given.search_tau and given.tau is not None:
        raise refuse("--search-tau and --tau both say the temperature", "leave --tau out")
    if given.search_rank and given.rank is not None:
        raise refuse("--search-rank and --rank both say the rule", "leave --rank out")
    if given.protocol is not None:
        raise refuse(f"{flag} and --protocol both say what is measured", "leave --protocol out")
    if _split(given.split) not in (None, "val"):
        raise refuse(
            f"{flag} on {given.split}/: defaults are chosen on validation pictures",
            "leave --split out",
        )
    chosen = choose_metrics([*metrics, *METRICS_OF_SEARCH], METRICS)
    tau = _numbers(given.tau, "--tau", Temperature.of, "0.5")
    candidates = _numbers(given.candidates, "-m", int, "10")
    keep = _numbers(given.keep, "-n", int, "1") or [1]
    ranks = _ranks(given.rank)
    for name, values in (("--tau", tau), ("-m", candidates), ("-n", keep), ("--rank", ranks)):
        if values is not None and len(values) > 1:
            raise refuse(f"{flag} with several values of {name}", f"{name} {values[0]}")
    search = [n for n, on in (("tau", given.search_tau), ("rank", given.search_rank)) if on]
    task = _task(given.task, None)
    return ModelSettings(
        chosen, tau, candidates, keep, given.limit, "val", task, None, ranks, tuple(search)
    )


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


def _task(task: str | None, protocol: Protocol | None) -> str | None:
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
