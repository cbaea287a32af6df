"""A candidate as the bytes of a file, with its provenance."""

from __future__ import annotations

import json
from collections.abc import Mapping

from ..images import Decoded, Encoder, put_back
from ..tasks import Picture
from ..version import SCHEMA, __version__
from .loaded_model import LoadedModel
from .restore import Candidate, Candidates

__all__ = ["provenance", "written"]


def written(
    candidate: Candidate,
    result: Candidates,
    loaded: LoadedModel,
    picture: Decoded,
    mask: Picture | None,
    encoder: Encoder,
) -> bytes:
    """Encode a candidate with its provenance, and with the alpha of the picture it was made from.

    Args:
        candidate: One of `result`.
        result: All candidates of the picture.
        loaded: The model that drew them.
        picture: The input.
        mask: As `restore` took it.
        encoder: The format.

    Raises:
        CaflowError: The picture has more pixels than the format allows.
    """
    image, alpha = put_back(candidate.image, picture, mask)
    return encoder.encode(image, alpha, json.dumps(provenance(candidate, result, loaded)))


def provenance(
    candidate: Candidate, result: Candidates, loaded: LoadedModel
) -> Mapping[str, object]:
    """The provenance in a written picture. Pictures are passed on, so it has no local path."""
    return {
        "schema": SCHEMA,
        "version": __version__,
        "task": loaded.task,
        "model": loaded.identity,
        "tau": result.tau.as_json(),
        "seed": candidate.seed,
        "rank": candidate.rank,
        "rank_by": result.rank_by,
        "rank_value": candidate.rank_value,
        "redraws": candidate.redraws,
        "candidates": len(result.ranked),
        **({"consistent": True} if candidate.consistency_max is not None else {}),
        **({"refine": result.refine} if result.refine else {}),
        "rank_score": candidate.score.rank_score,
        "log_likelihood": candidate.score.log_likelihood,
        "bits_per_dim": candidate.score.bits_per_dim,
        **({"parts": len(candidate.score.parts)} if candidate.score.parts else {}),
        "estimator": result.estimator,
    }
