"""A line on the first use of a default model that took another one's place."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from .user_config import MODELS, config_path

if TYPE_CHECKING:
    from ..hub.manifest import Entry
    from .console import Console

__all__ = ["note_changed_default", "state_path"]


def state_path() -> Path:
    """The file of the defaults that were named to the user: a line each, an id.

    It lies in the platform's folder for state where there is one, else beside the user's config.
    """
    if sys.platform in ("win32", "darwin"):
        return config_path().with_name("defaults-seen.txt")
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "caflow" / "defaults-seen.txt"


def note_changed_default(entry: Entry, console: Console) -> None:
    """Say once that a task's default model is another one now, and how to keep the former one.

    Where nothing can be written, it is said each time; with `-q` never, and then it counts as
    unsaid.
    """
    if entry.replaces is None or console.quiet:
        return
    path = state_path()
    seen = ""
    with suppress(OSError, ValueError):
        seen = path.read_text(encoding="utf-8")
    if entry.id in seen.splitlines():
        return
    console.note(
        f"{entry.task} uses {entry.id} where no model is named; it was {entry.replaces}, which "
        f"`caflow config set {MODELS}.{entry.task} {entry.replaces}` keeps"
    )
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{entry.id}\n")
