"""The model that scores a picture, which may name the model that made it."""

from __future__ import annotations

from ..errors import EXIT_USAGE, CaflowError
from .environment import named_in_environment
from .inputs import InputPicture

__all__ = ["check_as_drawn", "model_for_target"]


def model_for_target(
    model: str | None, target: InputPicture, default: str | None = None
) -> str | None:
    """The name of the model that scores a target; None: the default.

    It is `model` (from `--model`), else the one that the target names, else the
    environment's: CAFLOW_MODEL, or CAFLOW_MODEL_TASK of the task that the target names; else
    `default` (from the user's file).

    Raises:
        CaflowError: The target names a model that cannot be found (exit code 2).
    """
    from ..hub.manifest import load_manifest
    from ..hub.resolve import resolve

    identity = None if model is not None else _provenance(target)
    if identity is None:
        return model or named_in_environment(None) or default
    name, sha256, task = identity
    entry = load_manifest().get(name)
    if entry is not None and entry.sha256 == sha256:
        return name
    for given in (named_in_environment(task), default):
        if given is not None and resolve(given).sha256 == sha256:
            return given
    if entry is None and "/" in name and resolve(name).sha256 == sha256:
        return name
    raise CaflowError(
        f"{target.name!r} was made with model {name!r} ({sha256[:12]}…), which is not found",
        "--model PATH of that model",
        EXIT_USAGE,
    )


def _provenance(target: InputPicture) -> tuple[str, str, str] | None:
    """Id and sha256 of the model in a picture's provenance, and its task."""
    from ..images import read_provenance

    if target.path is None:
        return None
    record = read_provenance(target.path) or {}
    try:
        identity = record["model"]
        return str(identity["id"]), str(identity["sha256"]), str(record.get("task", ""))
    except (KeyError, TypeError):
        return None


def check_as_drawn(target: InputPicture) -> None:
    """Refuse a target that was resized behind the drawing: the model has no density of it.

    Raises:
        CaflowError: (exit 1) its provenance says so.
    """
    from ..images import read_provenance

    record = None if target.path is None else read_provenance(target.path)
    if record is not None and isinstance(record.get("resized"), dict):
        raise CaflowError(
            f"{target.name!r} was resized after it was drawn and scored (--scale or --fit)",
            "score what caflow superres writes without --scale and --fit",
        )
