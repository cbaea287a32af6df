"""The JSON lines of the restoring commands and of `score`.

`assets/schema/lines.schema.json` describes the lines for readers; tests check that both agree.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..inference import Candidates, Score
    from ..model import CAFlow

__all__ = ["Fields", "Names", "restored_fields", "scored_fields"]

Fields = Mapping[str, object]  # of a JSON line, in their order, after schema and command
Names = Mapping[str, str]  # of what was read, as typed: "input", or "cond" and "target"; "mask"


def restored_fields(
    names: Names, result: Candidates, paths: Mapping[int, str], resized: Fields, exact: bool
) -> dict[str, Any]:
    """The JSON line of a restored image, without `elapsed_s`.

    Args:
        names: Of what was read.
        result: Every candidate.
        paths: Of written files, by rank; none of what goes to stdout, or was there and is kept.
        resized: The field `resized`, if the image was resized after it was drawn.
        exact: The files hold the scored pixels and nothing else.
    """
    sampling = result.sampling
    params: dict[str, Any] = {
        "tau": sampling.temperature.as_json(),
        "candidates": sampling.candidates,
        "keep": sampling.keep,
        "seed": sampling.seed,
        "rank": sampling.rank,
    }
    if sampling.consistent:
        params["consistent"] = True
    if sampling.precision != "float32":
        params["precision"] = sampling.precision
    candidates = {}
    for one in result.ranked:
        candidates[one.rank] = {
            "rank": one.rank,
            "seed": one.seed,
            "rank_by": sampling.rank,
            "rank_value": one.rank_value,
            "redraws": one.redraws,
            **_score_fields(one.score, exact),
        }
        if one.consistency_max is not None:
            candidates[one.rank]["consistency_max"] = one.consistency_max
    return {
        **names,
        "status": "ok",
        "model": result.model,
        "params": params,
        **resized,
        "estimator": result.estimator,
        "outputs": [{"path": path, **candidates[rank]} for rank, path in paths.items()],
        "candidates": [{"k": one.k, **candidates[one.rank]} for one in result.ranked],
        **({"diverged": result.diverged} if result.diverged else {}),
        **_part_fields(result.ranked[0].score),
    }


def scored_fields(
    names: Names, model: CAFlow, score: Score, noise_samples: int, exact: bool
) -> dict[str, Any]:
    """The JSON line of a scored pair, without `elapsed_s`."""
    from ..inference import estimator_of

    return {
        **names,
        "status": "ok",
        "model": model.identity,
        "estimator": estimator_of(model, noise_samples),
        **_score_fields(score, exact),
        **_part_fields(score),
    }


def _score_fields(score: Score, exact: bool) -> dict[str, Any]:
    fields = asdict(score)
    del fields["parts"]  # stated once, by `_part_fields`
    if score.standard_error is None:
        del fields["standard_error"]
    return {**fields, "score_exact": exact}


def _part_fields(score: Score) -> Fields:
    """The windows onto a hole; nothing where there is none."""
    return {"parts": [asdict(place) for place in score.parts]} if score.parts else {}
