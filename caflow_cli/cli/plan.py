"""Which file each input becomes: decided, and checked, before any work."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np

from ..assets import example_path
from ..errors import EXIT_USAGE, CaflowError
from ..images import read_image

__all__ = ["Job", "plan", "read_input"]

_EXAMPLE = "example:"
_SUFFIX = ".png"


@dataclass(frozen=True)
class Job:
    """An input as it was typed, and the files that it becomes, in rank order."""

    name: str
    outputs: list[Path]  # empty: image bytes to stdout


def read_input(name: str) -> np.ndarray:
    """The picture of an argument: a file, `-` for stdin, or `example:NAME`; uint8 (H, W, 3)."""
    if name == "-":
        return read_image(BytesIO(sys.stdin.buffer.read()), name="stdin")
    if name.startswith(_EXAMPLE):
        return read_image(example_path(name.removeprefix(_EXAMPLE)))
    return read_image(name)


def plan(
    inputs: Sequence[str], *, label: str, output: str | None, keep: int, overwrite: bool
) -> list[Job]:
    """Output files of every input.

    `face.png` becomes `face_LABEL.png` in its folder, or in the folder `output`; with N > 1,
    `face_LABEL_01.png` and so on. With one input, `output` may name the file, or be `-`.

    Raises:
        CaflowError: Two outputs of one name, an existing file without `overwrite`, an output that
            is an input, an unknown example, or an `output` that does not fit (exit code 2).
    """
    if output == "-":
        if sys.stdout.isatty():
            raise CaflowError("-o - would write image bytes to the terminal", "-o FILE", EXIT_USAGE)
        if len(inputs) > 1 or keep > 1:
            raise CaflowError(
                f"-o - writes one picture, not {len(inputs) * keep}", "-n 1 -o -", EXIT_USAGE
            )
        _check_examples(inputs)
        return [Job(inputs[0], [])]
    _check_examples(inputs)
    jobs = [Job(name, _outputs(name, label, output, keep, len(inputs))) for name in inputs]
    seen: dict[Path, str] = {}
    for job in jobs:
        for path in job.outputs:
            key = path.resolve()
            if key in seen:
                raise CaflowError(
                    f"{seen[key]!r} and {job.name!r} would both be written to {str(path)!r}",
                    "process them apart, with another -o",
                    EXIT_USAGE,
                )
            seen[key] = job.name
    sources = {
        Path(name).resolve() for name in inputs if name != "-" and not name.startswith(_EXAMPLE)
    }
    for job in jobs:
        for path in job.outputs:
            _check_writable(path)
            if path.resolve() in sources:
                raise CaflowError(
                    f"the output {str(path)!r} is an input", "choose another -o", EXIT_USAGE
                )
            if path.is_dir():
                raise CaflowError(f"the output {str(path)!r} is a folder", "-o DIR/", EXIT_USAGE)
            if path.exists() and not overwrite:
                raise CaflowError(
                    f"{str(path)!r} exists", "add --overwrite, or choose another -o", EXIT_USAGE
                )
    return jobs


def _check_writable(path: Path) -> None:
    """CaflowError unless the folder of `path` is there to write to, or can be made."""
    try:
        folder = path.parent
        while not folder.exists():
            folder = folder.parent
        path.exists()  # a name that is too long shows itself here
    except OSError as error:
        raise CaflowError(
            f"cannot write {str(path)[:80]!r}: {error.strerror}", "-o DIR/", EXIT_USAGE
        ) from error
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise CaflowError(
            f"cannot write into {str(path.parent)!r}: {str(folder)!r} is no writable folder",
            "-o DIR/",
            EXIT_USAGE,
        )


def _check_examples(inputs: Sequence[str]) -> None:
    for name in inputs:
        if name.startswith(_EXAMPLE):
            example_path(name.removeprefix(_EXAMPLE))


def _outputs(name: str, label: str, output: str | None, keep: int, inputs: int) -> list[Path]:
    if name == "-":
        source = Path("stdin")
    elif name.startswith(_EXAMPLE):
        source = Path(name.removeprefix(_EXAMPLE))
    else:
        source = Path(name)
    if not source.name:
        raise CaflowError(f"{name!r} is no picture", "name picture files", EXIT_USAGE)
    base = source.with_name(f"{source.stem}_{label}{_SUFFIX}")
    if output is not None:
        if output.endswith(("/", "\\")) or Path(output).is_dir():
            base = Path(output) / base.name
        elif inputs > 1:
            raise CaflowError(
                f"-o {output} is one file for {inputs} inputs", f"-o {output}/", EXIT_USAGE
            )
        elif Path(output).suffix.lower() != _SUFFIX:
            raise CaflowError(
                f"cannot write {output!r}: pictures are written as PNG",
                f"-o {Path(output).with_suffix(_SUFFIX)}",
                EXIT_USAGE,
            )
        else:
            base = Path(output)
    if keep == 1:
        return [base]
    digits = max(2, len(str(keep)))
    return [
        base.with_name(f"{base.stem}_{rank:0{digits}d}{base.suffix}") for rank in range(1, keep + 1)
    ]
