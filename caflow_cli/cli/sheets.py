"""Figures over all inputs of a run: `--grid`, `--uncertainty`, `--map`."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import EXIT_USAGE, CaflowError

if TYPE_CHECKING:
    from ..tasks import Picture
    from .outputs import Claims

__all__ = ["Sheet"]

_MOST = 100  # rows: more would be too large to look at


class Sheet:
    """A PNG with one row for each input, written when all are done.

    Args:
        option: The option that asks for it, such as `--grid`.
        file: As typed; None: the option is not given, and nothing is drawn.
        rows: How many inputs there are.
        claims: The files that the command reads and writes.
        overwrite: Whether an existing file may be replaced.
        skip: Whether an existing file stays, and nothing is drawn.

    Raises:
        CaflowError: (exit 2) the name is not that of a PNG, there are too many inputs, or as
            `Claims.claim`.
    """

    def __init__(
        self,
        option: str,
        file: str | None,
        rows: int,
        claims: Claims,
        overwrite: bool,
        skip: bool = False,
    ) -> None:
        from .outputs import check_writable

        self.path = None if file is None else Path(file)
        self._overwrite = overwrite
        self._rows: list[Picture] = []
        if self.path is None:
            return
        if self.path.suffix.lower() != ".png":
            raise CaflowError(
                f"{option} writes a PNG, not {file!r}",
                f"{option} {self.path.with_suffix('.png') if self.path.name else 'FILE.png'}",
                EXIT_USAGE,
            )
        if rows > _MOST:
            raise CaflowError(
                f"{option} shows at most {_MOST} pictures, not {rows}",
                f"leave {option} out, or name fewer pictures",
                EXIT_USAGE,
            )
        check_writable(self.path, option)
        claims.claim(self.path, option, overwrite, skip, option)
        if skip and os.path.lexists(self.path):
            self.path = None

    @property
    def wanted(self) -> bool:
        """Whether anything is drawn."""
        return self.path is not None

    def add(self, draw: Callable[[], Picture]) -> None:
        """Draw a row, if the sheet was asked for."""
        if self.wanted:
            self._rows.append(draw())

    def write(self) -> Path | None:
        """Write the rows. Returns the path, or None if there is nothing to show."""
        if self.path is None or not self._rows:
            return None
        from ..images import atomic_write, encode_png, make_folder
        from ..inference.figures import sheet

        make_folder(self.path.parent)
        picture = sheet(self._rows)
        atomic_write(self.path, encode_png(picture), replace=self._overwrite)
        return self.path
