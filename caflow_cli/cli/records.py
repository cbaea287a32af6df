"""The JSON that commands write, and what a picture says of itself.

`assets/schema/lines.schema.json` states the lines for readers; tests hold the two together.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ..errors import CaflowError

if TYPE_CHECKING:
    from ..inference import Candidate, Candidates, Score
    from .session import LoadedModel

__all__ = [
    "SCHEMA",
    "candidate_fields",
    "error_record",
    "planned_record",
    "provenance",
    "restoration_record",
    "score_fields",
    "score_record",
]

SCHEMA = 1


def score_fields(score: Score, exact: bool = True) -> dict[str, Any]:
    """The score fields of a line.

    Args:
        exact: Whether the picture's file holds the scored pixels and nothing else.
    """
    fields = asdict(score)
    if score.standard_error is None:
        del fields["standard_error"]
    return {**fields, "score_exact": exact}


def candidate_fields(candidate: Candidate, exact: bool) -> dict[str, Any]:
    """A candidate, without its place among the outputs."""
    score = score_fields(candidate.score, exact)
    fields = {"rank": candidate.rank, "seed": candidate.seed, **score}
    if candidate.consistency_max is not None:
        fields["consistency_max"] = candidate.consistency_max
    return fields


def error_record(command: str, names: dict[str, str | None], error: CaflowError) -> dict[str, Any]:
    """The line of an input that failed.

    Args:
        names: What was read, as typed: "input", or "cond" and "target", and "mask" if any.
    """
    return {
        "schema": SCHEMA,
        "command": command,
        **_given(names),
        "status": "error",
        "error": {"code": error.exit_code, "message": error.message, "hint": error.hint},
    }


def planned_record(
    command: str, names: dict[str, str | None], outputs: list[str], skipped: bool
) -> dict[str, Any]:
    """The line of an input under `--dry-run`, or of one whose outputs are all there already."""
    return {
        "schema": SCHEMA,
        "command": command,
        **_given(names),
        "status": "skipped" if skipped else "planned",
        "outputs": [{"rank": rank, "path": path} for rank, path in enumerate(outputs, 1)],
    }


def restoration_record(
    command: str,
    names: dict[str, str | None],
    loaded: LoadedModel,
    sampling: dict[str, Any],
    result: Candidates,
    paths: list[str],
    exact: bool,
    elapsed: float,
) -> dict[str, Any]:
    """The line of a restored picture: the files written, in rank order, and every candidate."""
    return {
        "schema": SCHEMA,
        "command": command,
        **_given(names),
        "status": "ok",
        "model": loaded.identity,
        "params": {**sampling, "tau": result.tau, "candidates": len(result.ranked)},
        "estimator": result.estimator,
        "outputs": [
            {"path": path, **candidate_fields(candidate, exact)}
            for path, candidate in zip(paths, result.kept, strict=True)
        ],
        "candidates": [{"k": c.k, **candidate_fields(c, exact)} for c in result.ranked],
        "elapsed_s": round(elapsed, 3),
    }


def score_record(
    names: dict[str, str | None],
    loaded: LoadedModel,
    estimator: dict[str, Any],
    score: Score,
    exact: bool,
    elapsed: float,
) -> dict[str, Any]:
    """The line of a scored pair."""
    return {
        "schema": SCHEMA,
        "command": "score",
        **_given(names),
        "status": "ok",
        "model": loaded.identity,
        "estimator": estimator,
        **score_fields(score, exact),
        "elapsed_s": round(elapsed, 3),
    }


def provenance(candidate: Candidate, result: Candidates, loaded: LoadedModel) -> dict[str, Any]:
    """What a written picture says of itself. Pictures travel: no local path is in it."""
    from ..version import __version__

    return {
        "schema": SCHEMA,
        "version": __version__,
        "task": loaded.model.config.task.name,
        "model": loaded.identity,
        "tau": result.tau,
        "seed": candidate.seed,
        "rank": candidate.rank,
        "candidates": len(result.ranked),
        **({"consistent": True} if candidate.consistency_max is not None else {}),
        "rank_score": candidate.score.rank_score,
        "log_likelihood": candidate.score.log_likelihood,
        "bits_per_dim": candidate.score.bits_per_dim,
        "estimator": result.estimator,
    }


def _given(names: dict[str, str | None]) -> dict[str, str]:
    return {key: name for key, name in names.items() if name is not None}
