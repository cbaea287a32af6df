"""The model that scores a picture, which may name the model that made it."""

from __future__ import annotations

from ..errors import EXIT_USAGE, CaflowError
from .inputs import InputPicture

__all__ = ["check_as_drawn", "model_for_target"]


def model_for_target(target: InputPicture, default: str | None) -> str | None:
    """The name of the model that scores a target where none was typed.

    It is the one that the target names, else `default`.

    Args:
        target: Its provenance is read.
        default: From the environment or the user's file. None: the default of superres.

    Raises:
        CaflowError: The target names a model that cannot be found (exit code 2).
    """
    from ..hub.manifest import load_manifest
    from ..hub.resolve import resolve

    identity = _provenance(target)
    if identity is None:
        return default
    name, sha256 = identity
    entry = load_manifest().get(name)
    if entry is not None and entry.sha256 == sha256:
        return name
    if default is not None and resolve(default).sha256 == sha256:
        return default
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
    record = read_provenance(target.path) or {}
    try:
        identity = record["model"]
        return str(identity["id"]), str(identity["sha256"])
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
            f"{target.name!r} was resized after it was drawn and scored (--scale)",
            "score what caflow superres writes without --scale",
        )
