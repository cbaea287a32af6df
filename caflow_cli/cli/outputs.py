"""Names and formats of results, and the files that no result may replace."""

from __future__ import annotations

import errno
import os
import sys
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from ..errors import EXIT_USAGE, CaflowError
from ..images import Encoder, format_of
from ..paths import is_folder, numbered
from .inputs import InputPicture

__all__ = [
    "Claims",
    "check_writable",
    "choose_encoder",
    "ignores_case",
    "is_device",
    "name_results",
    "target_folder",
]

_RESERVED = {"con", "prn", "aux", "nul"} | {f"{n}{i}" for n in ("com", "lpt") for i in range(1, 10)}


def target_folder(output: str | None, single: bool) -> Path | None:
    """The folder that `-o` names; None if it names a file or stdout, or is not given.

    Args:
        single: Whether there is only one input, a picture. With several inputs, a name without a
            picture's suffix is a folder, which may not exist yet.
    """
    if output is None or output == "-":
        return None
    path = Path(output)
    folder = output.endswith(("/", os.sep)) or is_folder(path)
    return path if folder or (not single and format_of(path) is None) else None


def choose_encoder(
    output: str | None, format: str | None, quality: int | None, provenance: bool, to_file: bool
) -> Encoder:
    """Choose the format: from `--format`, else from the suffix of an output file, else PNG.

    Raises:
        CaflowError: (exit 2) the two disagree, or neither names a format.
    """
    if not to_file or output is None:
        return Encoder(format or "png", quality, provenance)
    named = format_of(Path(output))
    encoder = Encoder(format or named or "png", quality, provenance)
    if named is None and format is None:
        raise CaflowError(
            f"the suffix of {output!r} is not that of a format that can be written",
            f"-o {Path(output).with_suffix('.png')} for a file, -o {output}/ for a folder",
            EXIT_USAGE,
        )
    if named is not None and named != encoder.format:
        raise CaflowError(
            f"{output!r} does not have a suffix of {encoder.format}",
            f"-o {Path(output).with_suffix(encoder.suffix)}",
            EXIT_USAGE,
        )
    return encoder


def name_results(
    sources: Sequence[InputPicture], label: str, suffix: str, folder: Path | None, keep: int
) -> list[list[Path]]:
    """Name the output files of each source, in rank order.

    `face.png` becomes `face_LABEL.png`, with `keep` > 1 `face_LABEL_01.png` and so on. Sources of
    one folder that differ only in their suffix keep it: `a.jpg` and `a.png` become
    `a_jpg_LABEL.png` and `a_png_LABEL.png`.
    """
    bases = [
        (source.folder if folder is None else folder / source.inside, source) for source in sources
    ]
    shared = Counter((base, fold(source.stem)) for base, source in bases)
    result = []
    for base, source in bases:
        stem = source.stem
        if shared[base, fold(stem)] > 1 and source.path is not None:
            stem = "_".join([stem, *source.path.suffix.split(".")[1:]])
        result.append(numbered(base / f"{stem}_{label}{suffix}", keep))
    return result


def fold(name: str) -> str:
    """A name as a file system that ignores case sees it."""
    return unicodedata.normalize("NFC", name).casefold()


class Claims:
    """The files that a command reads and writes. No output is claimed twice or is an input."""

    def __init__(self, inputs: Iterable[Path]) -> None:
        self._folders: dict[Path, bool] = {}
        self._inputs = {self._key(path) for path in inputs}
        self._outputs: dict[str, str] = {}

    def claim(
        self, path: Path, name: str, overwrite: bool, skip: bool = False, option: str = "-o"
    ) -> None:
        """Claim an output for an input (or for the option that names the file).

        Args:
            option: What names the output, for hints.

        Raises:
            CaflowError: (exit 2) it is already claimed, is an input or a folder, or exists and
                neither `overwrite` nor `skip` is set.
        """
        key = self._key(path)
        if key in self._outputs:
            raise CaflowError(
                f"{self._outputs[key]!r} and {name!r} would both be written to {str(path)!r}",
                "process them separately, each with its own -o"
                if option == "-o"
                else f"choose another {option}",
                EXIT_USAGE,
            )
        self._outputs[key] = name
        if key in self._inputs:
            raise CaflowError(
                f"the output {str(path)!r} is an input", f"choose another {option}", EXIT_USAGE
            )
        if os.name == "nt" and is_device(path.name):
            raise CaflowError(
                f"{path.name!r} is a device on Windows", f"{option} _{path.name}", EXIT_USAGE
            )
        if is_folder(path):
            hint = "-o DIR/" if option == "-o" else f"{option} FILE.png"
            raise CaflowError(f"the output {str(path)!r} is a folder", hint, EXIT_USAGE)
        if not (overwrite or skip) and os.path.lexists(path):
            way = "--overwrite or --skip-existing" if option == "-o" else "--overwrite"
            raise CaflowError(
                f"{str(path)!r} exists", f"add {way}, or choose another {option}", EXIT_USAGE
            )

    def protect(self, path: Path) -> None:
        """Register a file that is read as an input. CaflowError (exit 2) if it is an output."""
        key = self._key(path)
        if key in self._outputs:
            raise CaflowError(
                f"the output {str(path)!r} is an input", "choose another -o", EXIT_USAGE
            )
        self._inputs.add(key)

    def _key(self, path: Path) -> str:
        real = Path(os.path.realpath(path))
        if real.parent not in self._folders:
            self._folders[real.parent] = ignores_case(real.parent)
        return fold(str(real)) if self._folders[real.parent] else str(real)


def is_device(name: str) -> bool:
    """Whether the name is a device on Windows: `nul.png`, `Com1.tar.gz`."""
    return name.split(".")[0].rstrip(" ").lower() in _RESERVED


def ignores_case(folder: Path) -> bool:
    """Whether `a` and `A` are one file in a folder, which may not exist yet. Nothing is written."""
    while not is_folder(folder) and folder != folder.parent:
        folder = folder.parent
    try:
        names = [entry.name for entry in os.scandir(folder)]
    except OSError:
        names = []
    for probe in [*(folder / name for name in names), folder]:
        other = probe.with_name(probe.name.swapcase())
        if other.name != probe.name and os.path.lexists(probe):
            try:
                return other.samefile(probe)
            except OSError:
                return False
    return sys.platform in ("win32", "darwin")


def check_writable(path: Path, option: str = "-o") -> None:
    """CaflowError (exit 2) unless the folder of `path` is writable, or can be created.

    Args:
        option: What names the output, for hints.
    """
    hint = "-o DIR/" if option == "-o" else f"choose another {option}"
    try:
        folder = path.parent
        while not _is_there(folder):
            folder = folder.parent
        _is_there(folder / path.name)  # a name that is too long shows itself here
    except OSError as error:
        raise CaflowError(
            f"cannot write {str(path)[:80]!r}: {error.strerror}", hint, EXIT_USAGE
        ) from error
    if not is_folder(folder) or not os.access(folder, os.W_OK | os.X_OK):
        raise CaflowError(
            f"cannot write into {str(path.parent)!r}: {str(folder)!r} is not a writable folder",
            hint,
            EXIT_USAGE,
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
