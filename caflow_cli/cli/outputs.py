"""Names and formats of outputs, and the files that no output may replace."""

from __future__ import annotations

import errno
import os
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import EXIT_USAGE, CaflowError, usage_error
from ..images import Encoder, format_of
from ..paths import is_folder, numbered
from .inputs import InputImage

if TYPE_CHECKING:
    from ..tasks import Pixels

__all__ = [
    "Claims",
    "Sheet",
    "check_writable",
    "choose_encoder",
    "name_results",
    "target_folder",
]


def target_folder(output: str | None, single: bool) -> Path | None:
    """The folder that `-o` names; None if it names a file or stdout, or is not given.

    Args:
        output: As typed.
        single: Whether there is only one input, an image. With several inputs, a name without an
            image's suffix is a folder, which may not exist yet.
    """
    if output is None or output == "-":
        return None
    path = Path(output)
    folder = output.endswith(("/", os.sep)) or is_folder(path)
    return path if folder or (not single and format_of(path) is None) else None


def choose_encoder(
    output: str | None, format: str | None, quality: int | None, provenance: bool
) -> Encoder:
    """Choose the format: from `--format`, else from the suffix of an output file, else PNG.

    Args:
        output: The output file; None where `-o` names none.
        format: As typed.
        quality: As typed.
        provenance: Whether images get provenance.

    Raises:
        CaflowError: (exit 2) the two disagree, or neither names a format.
    """
    named = None if output is None else format_of(Path(output))
    encoder = Encoder(format or named or "png", quality, provenance)
    if output is not None and named is None and format is None:
        raise usage_error(
            f"the suffix of {output!r} is not that of a format that can be written",
            f"-o {Path(output).with_suffix('.png')} for a file, -o {output}/ for a folder",
        )
    if output is not None and named is not None and named != encoder.format:
        raise usage_error(
            f"{output!r} does not have a suffix of {encoder.format}",
            f"-o {Path(output).with_suffix(encoder.suffix)}",
        )
    return encoder


def name_results(
    sources: Sequence[InputImage], label: str, suffix: str, folder: Path | None, keep: int
) -> list[list[Path]]:
    """Name the output files of each source, in rank order.

    `face.png` becomes `face_LABEL.png`, with `keep` > 1 `face_LABEL_01.png` and so on. Sources of
    one folder that differ only in their suffix keep it: `a.jpg` and `a.png` become
    `a_jpg_LABEL.png` and `a_png_LABEL.png`.
    """
    bases = [one.folder if folder is None else folder / one.inside for one in sources]
    shared = Counter((base, _fold(one.stem)) for base, one in zip(bases, sources, strict=True))
    result = []
    for base, source in zip(bases, sources, strict=True):
        stem = source.stem
        if shared[base, _fold(stem)] > 1 and source.path is not None:
            stem = "_".join([stem, *source.path.suffix.split(".")[1:]])
        result.append(numbered(base / f"{stem}_{label}{suffix}", keep))
    return result


def _fold(name: str) -> str:
    """A name as a file system that ignores case sees it."""
    return unicodedata.normalize("NFC", name).casefold()


def _key(path: Path) -> str:
    """A key that two names of one file share."""
    real = os.path.realpath(path)
    return _fold(real) if sys.platform in ("win32", "darwin") else real


class Claims:
    """The files that a command reads and writes. No output is claimed twice or is an input."""

    def __init__(self, inputs: Iterable[Path]) -> None:
        self._inputs = {_key(path) for path in inputs}
        self._outputs: dict[str, str] = {}

    def claim(
        self, path: Path, name: str, overwrite: bool, skip: bool = False, option: str = "-o"
    ) -> None:
        """Claim an output for an input, or for the option that names the file.

        Raises:
            CaflowError: (exit 2) it is already claimed, is an input or a folder, or exists and
                neither `overwrite` nor `skip` is set.
        """
        key, of_inputs = _key(path), option == "-o"
        problem = None
        if key in self._outputs:
            way = "process them separately, each with its own -o"
            problem = (
                f"{self._outputs[key]!r} and {name!r} would both be written to {str(path)!r}",
                way if of_inputs else f"choose another {option}",
            )
        elif key in self._inputs:
            problem = f"the output {str(path)!r} is an input", f"choose another {option}"
        elif is_folder(path):
            hint = "-o DIR/" if of_inputs else f"{option} FILE.png"
            problem = f"the output {str(path)!r} is a folder", hint
        elif not (overwrite or skip) and os.path.lexists(path):
            way = "--overwrite or --skip-existing" if of_inputs else "--overwrite"
            problem = f"{str(path)!r} exists", f"add {way}, or choose another {option}"
        if problem is not None:
            raise CaflowError(*problem, EXIT_USAGE)
        self._outputs[key] = name

    def protect(self, path: Path) -> None:
        """Register a file that is read as an input. CaflowError (exit 2) if it is an output."""
        if _key(path) in self._outputs:
            message = f"the output {str(path)!r} is an input"
            raise usage_error(message, "choose another -o")
        self._inputs.add(_key(path))


def check_writable(path: Path, option: str = "-o") -> None:
    """CaflowError (exit 2) unless the folder of `path` is writable, or can be created.

    Args:
        path: The file.
        option: What names it, for hints.
    """
    hint = "-o DIR/" if option == "-o" else f"choose another {option}"
    try:
        folder = path.parent
        while not _is_there(folder):
            folder = folder.parent
        _is_there(folder / path.name)  # a name that is too long shows itself here
    except OSError as error:
        message = f"cannot write {str(path)[:80]!r}: {error.strerror}"
        raise usage_error(message, hint) from error
    if not is_folder(folder) or not os.access(folder, os.W_OK | os.X_OK):
        raise usage_error(
            f"cannot write into {str(path.parent)!r}: {str(folder)!r} is not a writable folder",
            hint,
        )


def _is_there(path: Path) -> bool:
    """Whether a path exists. OSError if unknown, in every version of Python."""
    try:
        path.stat()
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            raise
        return False
    return True


_MOST = 100  # rows of a sheet: more would be too large to look at


class Sheet:
    """A PNG with one row for each input, written when all are done: `--grid`, `--map`.

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
        self.path = None if file is None else Path(file)
        self._overwrite = overwrite
        self._rows: list[Pixels] = []
        if self.path is None:
            return
        if self.path.suffix.lower() != ".png":
            png = self.path.with_suffix(".png") if self.path.name else "FILE.png"
            message = f"{option} writes a PNG, not {file!r}"
            raise usage_error(message, f"{option} {png}")
        if rows > _MOST:
            raise usage_error(
                f"{option} shows at most {_MOST} images, not {rows}",
                f"leave {option} out, or name fewer images",
            )
        check_writable(self.path, option)
        claims.claim(self.path, option, overwrite, skip, option)
        if skip and os.path.lexists(self.path):
            self.path = None

    @property
    def wanted(self) -> bool:
        """Whether anything is drawn."""
        return self.path is not None

    def add(self, draw: Callable[[], Pixels]) -> None:
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
        data = encode_png(sheet(self._rows))
        atomic_write(self.path, data, replace=self._overwrite)
        return self.path
