"""JSON lines of the restoring commands and `score`; schema: `assets/schema/lines.schema.json`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..model import CAFlow
    from ..restoration import Candidates, Score

Fields = Mapping[str, object]  # fields of a JSON line, in order, after schema and command


def restored_fields(
    result: Candidates, paths: Mapping[int, str], changed: Fields, exact: bool
) -> dict[str, Any]:
    """The JSON line of a restored image, without names and `elapsed_s`.

    `paths` are the written files, by rank; `exact` says if they contain exactly the scored pixels.
    """
    sampling = result.sampling
    parts = [asdict(place) for place in result.ranked[0].score.parts]
    candidates = {
        one.rank: {
            "rank": one.rank,
            "seed": one.seed,
            "rank_by": sampling.rank,
            "rank_value": one.rank_value,
            "redraws": one.redraws,
            **_score_fields(one.score),
            "score_exact": exact,
            **({} if one.consistency_max is None else {"consistency_max": one.consistency_max}),
        }
        for one in result.ranked
    }
    return {
        "status": "ok",
        "model": result.model,
        "params": {
            "tau": sampling.temperature.as_json(),
            "candidates": sampling.candidates,
            "keep": sampling.keep,
            "seed": sampling.seed,
            "rank": sampling.rank,
            **({"consistent": True} if sampling.consistent else {}),
            **({"precision": sampling.precision} if sampling.precision != "float32" else {}),
        },
        **changed,
        **({"hinted_pixels": result.hinted_pixels} if result.hinted_pixels else {}),
        "estimator": result.estimator,
        "outputs": [{"path": path, **candidates[rank]} for rank, path in paths.items()],
        "candidates": [{"k": one.k, **candidates[one.rank]} for one in result.ranked],
        **({"diverged": result.diverged} if result.diverged else {}),
        **({"parts": parts} if parts else {}),
    }


def scored_fields(
    names: Mapping[str, str], model: CAFlow, score: Score, noise_samples: int
) -> dict[str, Any]:
    """The JSON line of a scored pair, without `elapsed_s`."""
    from ..restoration import estimator_of

    return {
        **names,
        "status": "ok",
        "model": model.identity,
        "estimator": estimator_of(model, noise_samples),
        **_score_fields(score),
        **({"parts": [asdict(place) for place in score.parts]} if score.parts else {}),
    }


def _score_fields(score: Score) -> dict[str, Any]:
    optional = ("standard_error", "known_values", "unknown_values")
    values = {key: value for key, value in asdict(score).items() if key != "parts"}
    return {key: one for key, one in values.items() if one is not None or key not in optional}
