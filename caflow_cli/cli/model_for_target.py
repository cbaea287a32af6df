"""The model that scores a picture, which may name the model that made it."""

from __future__ import annotations

import os

from ..config import FILLS
from ..errors import EXIT_USAGE, CaflowError
from .inputs import InputPicture

__all__ = ["model_for_target"]


def model_for_target(model: str | None, target: InputPicture) -> str | None:
    """The name of the model that scores a target; None: the default.

    It is `model` (from `--model`), else the one that the target names, else CAFLOW_MODEL.

    Raises:
        CaflowError: The target names a model that cannot be found (exit code 2).
    """
    from ..hub.manifest import load_manifest
    from ..hub.resolve import resolve

    given = os.environ.get("CAFLOW_MODEL") or None
    identity = None if model is not None else _provenance(target)
    if identity is None:
        return model or given
    name, sha256 = identity
    if name in FILLS:
        raise CaflowError(
            f"{target.name!r} was filled by {name}, a classical method without a likelihood",
            "--model ID of a model to score it under",
            EXIT_USAGE,
        )
    entry = load_manifest().get(name)
    if entry is not None and entry.sha256 == sha256:
        return name
    if given is not None and resolve(given).sha256 == sha256:
        return given
    if entry is None and "/" in name and resolve(name).sha256 == sha256:
        return name
    raise CaflowError(
        f"{target.name!r} was made with model {name!r} ({sha256[:12]}…), which is not found",
        "--model PATH of that model",
        EXIT_USAGE,
    )


def _provenance(target: InputPicture) -> tuple[str, str] | None:
    """Id and sha256 of the model in a picture's provenance."""
    from ..images import read_provenance

    if target.path is None:
        return None
    record = read_provenance(target.path)
    try:
        identity = (record or {})["model"]
        return str(identity["id"]), str(identity["sha256"])
    except (KeyError, TypeError):
        return None
