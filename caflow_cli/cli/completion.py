"""Values that a shell completes. Nothing here imports an array library: a Tab is to be quick.

Where a list is empty, shells complete names of files.
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = [
    "devices",
    "images",
    "metrics",
    "models",
    "presets",
    "tasks",
]


def models(incomplete: str) -> list[str]:
    """Ids of the manifest."""
    import json

    from ..assets import manifest_path

    try:
        known = json.loads(manifest_path().read_text(encoding="utf-8"))["models"]
    except (OSError, ValueError, KeyError):
        return []
    return _matching(known, incomplete)


def images(incomplete: str) -> list[str]:
    """`example:NAME`, once a word begins like it."""
    from ..assets import ASSETS

    if not incomplete:
        return []
    names = sorted(path.stem for path in (ASSETS / "examples").glob("*.png"))
    return _matching([f"example:{name}" for name in names], incomplete)


def tasks(incomplete: str) -> list[str]:
    from ..config import TASK_NAMES

    return _matching(TASK_NAMES, incomplete)


def presets(incomplete: str) -> list[str]:
    from ..config import PRESETS

    return _matching(PRESETS, incomplete)


def devices(incomplete: str) -> list[str]:
    return _matching(("auto", "cpu", "cuda", "mps"), incomplete)


def metrics(incomplete: str) -> list[str]:
    """Names of metrics, also behind a comma."""
    from ..evaluation.metrics.catalogue import METRICS

    before, comma, last = incomplete.rpartition(",")
    return [f"{before}{comma}{name}" for name in _matching((*METRICS, "all"), last)]


def _matching(names: Iterable[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]
