"""Data that are not there: what is said of the address, which may be a URL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import EXIT_USAGE, CaflowError
from ..paths import exists, url_of
from .address import SHARDS, Address

__all__ = ["check_there", "no_data", "of_masks"]


def check_there(data: str | Path) -> None:
    """Refuse an address of nothing, before anything is opened or heavy is imported.

    Sets of the Hub and URLs are asked for as they are opened, and so are patterns and streams of
    shards.

    Raises:
        CaflowError: (exit 2) the address is a path without a file or folder, or as for
            `Address.of`.
    """
    address = Address.of(data)
    left = address.place.lower().endswith(SHARDS) and (address.stream or "{" in address.place)
    if address.kind == "path" and not left and not exists(address.path):
        raise no_data(address.path)


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


@contextmanager
def of_masks(option: str = "--set masks=") -> Iterator[None]:
    """Say in errors about data that the masks are meant, which `option` names."""
    try:
        yield
    except CaflowError as error:
        hint = error.hint.replace("--data ", option)
        raise CaflowError(f"masks: {error.message}", hint, error.exit_code) from error
