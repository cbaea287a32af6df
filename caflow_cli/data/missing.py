"""Data that are not there: what is said of the address, which may be a URL."""

from __future__ import annotations

from pathlib import Path

from ..errors import EXIT_USAGE, CaflowError
from ..paths import url_of

__all__ = ["no_data"]


def no_data(path: Path) -> CaflowError:
    """The error of `--data` that is no file and no folder, such as a URL."""
    url = url_of(path)
    if url is None:
        hint = "--data FOLDER or --data FILE.zip; hf://owner/name is a set of the Hub"
        return CaflowError(f"no data at {str(path)!r}", hint, EXIT_USAGE)
    return CaflowError(
        f"{url!r} is a URL, and data are read from a folder or a zip",
        f"curl -LO {url}, and --data FILE.zip",
        EXIT_USAGE,
    )
