"""A candidate as the bytes of a file, with its provenance."""

from __future__ import annotations

import json
from collections.abc import Mapping

from ..images import Decoded, Encoder
from ..tasks import Picture
from .loaded_model import LoadedModel
from .results import Candidate, Candidates

__all__ = ["provenance", "written"]


def written(
    image: Picture,
    record: Mapping[str, object],
    picture: Decoded,
    mask: Picture | None,
    encoder: Encoder,
) -> bytes:
    """Encode a result with its provenance, and with the alpha of the picture it was made from.

    Args:
        image: A candidate's picture, which may have been resized.
        record: What it says of itself (`provenance`).
        picture: The input.
        mask: As `restore` took it.
        encoder: The format.

    Raises:
        CaflowError: The picture has more pixels than the format allows.
    """
    pixels, alpha = picture.put_back(image, mask)
    return encoder.encode(pixels, alpha, json.dumps(record))


def provenance(
    candidate: Candidate, result: Candidates, loaded: LoadedModel
) -> Mapping[str, object]:
    """The provenance in a written picture: `Candidates.provenance`, with the id that was typed."""
    return {**result.provenance(candidate), "model": loaded.identity}
