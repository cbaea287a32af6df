"""A model's defaults: searched on validation pictures, and written into a new model file."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..checkpoint import read_info
from ..checkpoint.defaults import DEFAULTS, check_new_file
from ..checkpoint.tensors import checkpoint_bytes, read_tensors
from ..config import RULES, Config
from ..errors import EXIT_FAILED, EXIT_USAGE, EXIT_WEIGHTS, CaflowError
from ..images import atomic_write
from ..model import CAFlow
from ..sampling import Sampling
from ..temperature import Tau, Temperature
from ..version import __version__
from .metrics.weights import Weights
from .model_on_data import evaluate
from .progress import Progress
from .rank_search import RankChoice, choose_rank
from .result import Evaluation
from .temperature_search import (
    METRICS_OF_SEARCH,
    TemperatureChoice,
    choose_temperature,
    searched,
)

__all__ = ["SEARCHES", "FoundDefaults", "search_defaults", "write_defaults"]

SEARCHES = ("tau", "rank")


@dataclass(frozen=True)
class FoundDefaults:
    """The choices of searches, and all that was measured."""

    tau: TemperatureChoice | None
    rank: RankChoice | None
    evaluation: Evaluation  # of every search
    measured_on: dict[str, Any]  # data, split, seed, ..., as JSON

    def as_json(self) -> dict[str, Any]:
        """A part for each search: its rule in words, what it chose, figures, and of what."""
        parts = {"tau": self.tau, "rank": self.rank}
        return {
            name: {**choice.as_json(), **self.measured_on}
            for name, choice in parts.items()
            if choice is not None
        }

    def applied(self, config: Config) -> Config:
        """The config with these defaults."""
        task = config.task
        if self.tau is not None:
            values = self.tau.tau.values
            task = replace(task, tau=values if len(values) > 1 else values[0])
        if self.rank is not None:
            task = replace(task, rank=self.rank.rank)
        return replace(config, task=task)


def search_defaults(
    model: CAFlow,
    data: str | Path,
    search: Sequence[str] = SEARCHES,
    *,
    metrics: Sequence[str] = (),
    tau: Tau | None = None,
    candidates: int | None = None,
    keep: int = 1,
    rank: str = "likelihood",
    limit: int | None = None,
    seed: int = 0,
    noise_samples: int = 1,
    batch_size: int | None = None,
    weights: Weights | None = None,
    identity: dict[str, str] | None = None,
    progress: Progress | None = None,
) -> FoundDefaults:
    """Search a model's default temperature, and its rule of choice, on validation pictures.

    "tau" measures the temperatures of `searched` by single draws, each by itself, and
    `choose_temperature` names one. "rank" measures every rule of rank on the same M candidates, at
    that temperature, and `choose_rank` names one. The pictures are those of `val/`, or what is held
    out for it.

    Args:
        model: Any model.
        data: As for `evaluate`.
        search: "tau", "rank" or both.
        metrics: Others to measure beside RMSE and LPIPS.
        tau: Where it is not searched: that of the candidates; default: the model's.
        candidates: M of the rules; default: the model's. Where "tau" is searched alone, the
            likeliest (or best by `rank`) of M is measured, and the default is 1.
        keep: N, how many of the M are measured.
        rank: Where only "tau" is searched: the rule that chooses the N.
        limit, seed, noise_samples, batch_size, weights, identity, progress: As for `evaluate`.

    Raises:
        CaflowError: As for `evaluate`; or an argument does not fit the search (exit 2).
    """
    _check_search(model.config, search, tau, candidates, keep)

    def measure(
        tau: Tau | None,
        m: int | None,
        n: int,
        ranks: str | Sequence[str],
        progress: Progress | None,
    ) -> Evaluation:
        return evaluate(
            model,
            data,
            [*METRICS_OF_SEARCH, *metrics],
            split="val",
            limit=limit,
            tau=tau,
            candidates=m,
            keep=n,
            seed=seed,
            noise_samples=noise_samples,
            rank=ranks,
            batch_size=batch_size,
            weights=weights,
            identity=identity,
            progress=progress,
        )

    found: list[Evaluation] = []
    chosen_tau: TemperatureChoice | None = None
    chosen_rank: RankChoice | None = None
    if "tau" in search:
        single = (1, 1, "likelihood") if "rank" in search else (candidates or 1, keep, rank)
        tried = searched(model.config.flow)
        found.append(_swept(tried, lambda one, shown: measure(one, *single, shown), progress))
        chosen_tau = choose_temperature(found[-1].results)
        tau = chosen_tau.tau
    if "rank" in search:
        found.append(measure(tau, candidates, keep, RULES, progress))
        chosen_rank = choose_rank(found[-1].results)
    measured_on = {
        "data": Path(data).resolve().name,  # never a local path: models are passed on
        "split": "val",
        "split_seed": found[0].settings["data"]["split_seed"],
        "seed": seed,
        "noise_samples": noise_samples,
        "model": identity,
        "version": __version__,
    }
    everything = _joined(found)
    result = FoundDefaults(chosen_tau, chosen_rank, everything, measured_on)
    everything.settings["search"] = result.as_json()
    return result


def _check_search(
    config: Config, search: Sequence[str], tau: Tau | None, candidates: int | None, keep: int
) -> None:
    if not search or set(search) - set(SEARCHES):
        raise CaflowError(f"cannot search {list(search)}", " or ".join(SEARCHES), EXIT_USAGE)
    if "tau" in search and tau is not None:
        raise CaflowError(
            "--search-tau and --tau both say the temperature", "leave --tau out", EXIT_USAGE
        )
    m = Sampling(candidates=candidates).of(config).candidates
    assert m is not None, "Sampling.of fills it in"
    if "rank" in search and m <= keep:
        raise CaflowError(
            f"to keep {keep} of {m} candidates is no choice", f"-m {keep + 9}", EXIT_USAGE
        )


def _swept(
    tried: Sequence[Temperature],
    measure: Callable[[Temperature, Progress | None], Evaluation],
    progress: Progress | None,
) -> Evaluation:
    """Each temperature by itself: where draws run away at one, the picture counts at the others.

    A picture has failed if it fails at every temperature.
    """
    found: list[Evaluation] = []
    notes: list[str] = []
    errors: list[CaflowError] = []
    for place, tau in enumerate(tried):
        try:
            found.append(measure(tau, _part_of(progress, place, len(tried))))
        except CaflowError as error:
            if error.exit_code != EXIT_FAILED:
                raise
            errors.append(error)
            notes.append(f"tau {tau}: {error.message}")
    if not found:
        raise errors[0]
    everywhere = set.intersection(*({failure.name for failure in one.failed} for one in found))
    for one in found:
        away = [failure for failure in one.failed if failure.name not in everywhere]
        one.failed = [failure for failure in one.failed if failure.name in everywhere]
        if away:
            [taus] = one.settings["params"]["taus"]
            notes.append(
                f"tau {Temperature.of(taus)}: left out, because pictures failed ({len(away)}): "
                f"{away[0].error.message}"
            )
    result = _joined(found)
    result.settings["params"]["taus"] = [tau.as_json() for tau in tried]
    result.notes += notes
    return result


def _part_of(progress: Progress | None, place: int, parts: int) -> Progress | None:
    """The progress of one of several parts with equally many pictures."""
    if progress is None:
        return None
    return lambda done, total: progress(place * total + done, parts * total)


def _joined(found: Sequence[Evaluation]) -> Evaluation:
    """One evaluation with the rows of all; settings are those of the first."""
    first, *others = found
    for other in others:
        first.results += [row for row in other.results if row.cell is not None]
        first.gaps += other.gaps
        known = {failure.name for failure in first.failed}
        first.failed += [failure for failure in other.failed if failure.name not in known]
        first.notes += [note for note in other.notes if note not in first.notes]
    return first


def write_defaults(
    source: str | Path, target: str | Path, found: FoundDefaults, sha256: str | None = None
) -> None:
    """Write a model file with the tensors of another and the defaults that were found.

    The tensors keep their types and bits. The config gets `task.tau` and `task.rank`, as far as
    they were searched. The training record gets `defaults`, what `FoundDefaults.as_json` says; all
    else in it stays, an earlier search's part too if only the other one was searched.

    Args:
        source: The model file that was searched. It is only read.
        target: A new `*.safetensors`. A file that exists stays as it is.
        found: By `search_defaults`.
        sha256: Hex digest that `source` must have.

    Raises:
        CaflowError: (exit 2) `target` exists or cannot be written; (exit 3) `source` is no model,
            or has another digest.
    """
    source, target = Path(source), Path(target)
    check_new_file(target)
    info, tensors = read_info(source), read_tensors(source)
    if sha256 is not None and hashlib.sha256(source.read_bytes()).hexdigest() != sha256:
        raise CaflowError(
            f"{str(source)!r} has changed since it was loaded",
            "search the model's defaults again, when its training has ended",
            EXIT_WEIGHTS,
        )
    earlier = info.training.get(DEFAULTS)
    record = {**(earlier if isinstance(earlier, dict) else {}), **found.as_json()}
    training = {**info.training, DEFAULTS: record}
    content = checkpoint_bytes(tensors, found.applied(info.config), training)
    atomic_write(target, content, replace=False)
