"""Manifests: CSV files and JSON lines that name the pictures of a set."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath

from ..errors import EXIT_USAGE, CaflowError
from ..images import MAX_BYTES, SUFFIXES
from .address import Address
from .columns import choose_columns, lay_out, split_of
from .files import PictureFiles, Role, Split, reading

__all__ = ["open_manifest"]

_Row = dict[str, str]


def open_manifest(address: Address, role: Role) -> PictureFiles:
    """Open a manifest: its columns hold paths, relative to the folder that it lies in.

    A CSV has a header. A line of JSON is an object. A column `split` says of each row whether it is
    train, val or test; without one, pictures are held out as from a folder.

    Raises:
        CaflowError: (exit 2) it cannot be read, a line is none, no column is known, or some rows
            say a split and others none.
    """
    path = address.path
    rows = _read(path)
    if not rows:
        raise CaflowError(f"{address.text!r} names no pictures", "add lines to it", EXIT_USAGE)
    names = list(dict.fromkeys(key for row in rows for key in row if key != "split"))
    if address.split is not None:
        rows = [row for row in rows if row.get("split") == address.split]
    paths = [name for name in names if any(_is_path(row.get(name)) for row in rows)]
    columns = choose_columns(paths, role, address.columns, address.text)
    # A row may lack what is wanted here: a mask, say.
    kept = [row for row in rows if all(row.get(column) for column in columns)]
    splits = [None if address.split is not None else split_of(row.get("split", "")) for row in kept]
    _check_splits(splits, [row[columns[-1]] for row in kept], address.text)
    layout = lay_out(
        [(split, _name(row[columns[-1]])) for split, row in zip(splits, kept, strict=True)], columns
    )

    def file(member: str) -> Path:
        row, column = layout[member]
        return path.parent / kept[row][column]

    def read(member: str) -> bytes:
        with file(member).open("rb") as opened:
            return opened.read(MAX_BYTES + 1)

    def stamp(member: str) -> str:
        with suppress(OSError):  # reading says it
            status = file(member).stat()
            return f"{file(member)} {status.st_size} {status.st_mtime_ns}"
        return "missing"

    def size(member: str) -> int:
        with suppress(OSError):
            return file(member).stat().st_size
        return 0

    return PictureFiles(address.text, list(layout), lambda m: reading(read, m), stamp, size)


def _check_splits(splits: Sequence[Split | None], names: Sequence[str], where: str) -> None:
    """Refuse rows that would be in no split. CaflowError (exit 2)."""
    strays = [name for split, name in zip(splits, names, strict=True) if split is None]
    if strays and len(strays) < len(names):
        raise CaflowError(
            f"{len(strays)} of {len(names)} rows of {where!r} have no split that is known, first "
            f"that of {strays[0]!r}",
            "train, val or test in every row, or no column split",
            EXIT_USAGE,
        )


def _read(path: Path) -> list[_Row]:
    def refuse(line: int, what: str, hint: str) -> CaflowError:
        return CaflowError(f"line {line} of {str(path)!r} {what}", hint, EXIT_USAGE)

    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            if path.suffix.lower() == ".csv":
                return list(_csv_rows(csv.DictReader(file), refuse))
            rows = []
            for number, line in enumerate(file, 1):
                if line.strip():
                    try:
                        row = json.loads(line)
                    except ValueError:
                        row = None
                    if not isinstance(row, dict):
                        raise refuse(number, "is no JSON object", '{"image": "a.png"}')
                    rows.append({k: v for k, v in row.items() if isinstance(v, str)})
            return rows
    except (OSError, ValueError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise CaflowError(
            f"cannot read {str(path)!r}: {reason}", "give a CSV or JSON lines, in UTF-8", EXIT_USAGE
        ) from error


def _csv_rows(reader: csv.DictReader[str], refuse: object) -> Iterator[_Row]:
    header = reader.fieldnames or ()
    if any(_is_path(name) for name in header):
        raise CaflowError(
            f"the first line of a CSV names its columns, and here {header[0]!r} stands there",
            "put a line before it: image, or condition,target",
            EXIT_USAGE,
        )
    for row in reader:
        if None in row or None in row.values():
            assert callable(refuse)
            raise refuse(
                reader.line_num, f"has not {len(header)} fields, as the first has", "mend it"
            )
        yield row


def _is_path(text: str | None) -> bool:
    return text is not None and PurePosixPath(text).suffix.lower() in SUFFIXES


def _name(text: str) -> str:
    return PurePosixPath(text.replace("\\", "/")).as_posix()
